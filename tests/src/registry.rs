//! Which database a test's registry is in, for what must hold on each.

use std::sync::Arc;

use anyhow::Result;
use evenkeel_test_postgres::{Database, Server};

use crate::{Builder, Cluster, store};

/// A registry that is empty.
#[derive(Clone, Debug)]
pub enum Registry {
    /// In a file below the cluster's directory.
    Sqlite,
    /// In a database of its own on the server of the tests.
    Postgres(Arc<Database>),
}

impl Registry {
    /// A new one on the server of the tests.
    pub fn on_postgres() -> Self {
        Self::Postgres(Arc::new(Server::shared().database()))
    }

    /// A cluster for a test that has it.
    pub fn builder(&self, nodes: usize) -> Result<Builder> {
        let builder = Builder::for_test(nodes)?;
        Ok(match self {
            Self::Sqlite => builder,
            Self::Postgres(database) => builder.on_postgres(database),
        })
    }

    /// Executes a statement on it, as another program than ours might.
    pub fn execute(&self, cluster: &Cluster, statement: &str) -> Result<()> {
        match self {
            Self::Sqlite => store::execute(&cluster.root().join("store"), statement),
            Self::Postgres(database) => {
                database.sql(statement);
                Ok(())
            }
        }
    }
}

/// Makes two tests of each function that takes a [`Registry`]: one for each database.
#[macro_export]
macro_rules! on_each_registry {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $test() -> anyhow::Result<()> {
                    super::$test($crate::Registry::Sqlite).await
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test]
                async fn $test() -> anyhow::Result<()> {
                    super::$test($crate::Registry::on_postgres()).await
                }
            )*
        }
    };
}
