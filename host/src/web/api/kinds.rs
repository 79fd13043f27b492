//! `GET /api/v1/kinds`: what can be started, and where.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Page, sessions::NodeRef};
use crate::{
    domain::{Node, NodeStatus},
    store::Store,
    web::{KindInfo, Problem, ThisNode, identity::SignedIn},
};

/// A kind of session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Kind)]
pub(crate) struct KindView {
    /// Its name in requests.
    #[schema(example = "jupyterlab")]
    pub name: String,
    /// Its name for people.
    #[schema(example = "JupyterLab")]
    pub title: String,
    /// `service`, which is reached through the proxy, or `job`, which runs to its end.
    #[schema(example = "service")]
    pub runs: &'static str,
    /// Written by the program's documentation and tried with the program itself by nobody.
    pub untested: bool,
    /// The nodes that are online and offer it.
    pub nodes: Vec<Offering>,
}

/// A node that offers a kind.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Offering {
    /// Which.
    #[serde(flatten)]
    pub node: NodeRef,
    /// What its program says its version is; null where that is not known.
    #[schema(example = "4.4.2")]
    pub version: Option<String>,
    /// Whether it takes no new sessions.
    pub cordoned: bool,
}

/// The kinds that nodes which are online offer.
#[utoipa::path(
    get, path = "/api/v1/kinds", tag = "kinds",
    responses((status = 200, body = Page<KindView>), (status = "default", body = Problem, content_type = "application/problem+json")),
)]
pub(in crate::web) async fn list_kinds(
    SignedIn(_by): SignedIn,
    State(store): State<Arc<dyn Store>>,
    State(this): State<Arc<ThisNode>>,
) -> Result<Json<Page<KindView>>, Problem> {
    Ok(Json(Page { items: kinds(&store.nodes().await?, &this.kinds.load()), next: None }))
}

fn kinds(nodes: &[Node], known: &BTreeMap<String, KindInfo>) -> Vec<KindView> {
    let mut offered: BTreeMap<&str, Vec<Offering>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.status == NodeStatus::Online) {
        for kind in &node.kinds {
            offered.entry(kind).or_default().push(Offering {
                node: NodeRef { id: node.id, name: Some(node.name.clone()) },
                version: node.kind_versions.get(kind).cloned(),
                cordoned: node.cordoned,
            });
        }
    }
    let view = |(name, nodes): (&str, Vec<Offering>)| {
        let info = known.get(name);
        KindView {
            name: name.to_owned(),
            title: info.map_or(name, |info| &info.title).to_owned(),
            runs: if info.is_some_and(|info| info.is_job) { "job" } else { "service" },
            untested: info.is_some_and(|info| info.untested),
            nodes,
        }
    };
    offered.into_iter().map(view).collect()
}
