//! What a component imports, for people.

use wasmtime::component::{Component, types::ComponentItem};

use crate::balancer::text;

/// Bytes that are kept of a name, which is the module's own word.
const NAME: usize = 100;

/// An interface that a component imports, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Import {
    /// Its name, such as `evenkeel:balancer/nodes@1.0.0`.
    pub interface: String,
    /// The functions.
    pub functions: Vec<String>,
}

/// Everything that a component imports.
pub(super) fn of(component: &Component) -> Vec<Import> {
    let engine = component.engine();
    let import = |(name, item): (&str, ComponentItem)| {
        let functions = match item {
            ComponentItem::ComponentInstance(instance) => {
                let functions = instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(name, _)| text::clean(name, NAME));
                functions.collect()
            }
            _ => Vec::new(),
        };
        Import { interface: text::clean(name, NAME), functions }
    };
    component.component_type().imports(engine).map(|(name, item)| import((name, item.ty))).collect()
}
