//! Which programs may work with which schema, so that the nodes of a cluster can be upgraded one after the other.
//!
//! The first node of a newer version brings the schema up to date while the others run. They must go on, and be able to
//! start again: so the schema says itself from which version on a program can work with it (`cluster.works_from`).

use std::fmt::Display;

use sqlx::migrate::Migrator;

use super::StoreError;

/// The newest version that a program knows.
pub(super) fn known(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Whether a schema is to be brought up to date; a newer one is left as it is, where this program can work with it.
pub(super) fn is_to_be_migrated(
    place: &dyn Display,
    known: i64,
    found: i64,
    works_from: i64,
) -> Result<bool, StoreError> {
    let version = env!("CARGO_PKG_VERSION");
    if found <= known {
        return Ok(true);
    }
    if works_from <= known {
        tracing::info!(
            "{place}: its schema is version {found}, of a newer evenkeel; this one ({version}, which knows version {known}) \
             works with it"
        );
        return Ok(false);
    }
    Err(StoreError::Unusable(format!(
        "{place}: its schema is version {found}, and this program (evenkeel {version}) knows versions up to {known}, where \
         {works_from} is the oldest that can work with it; run the newer evenkeel that wrote it, or restore the copy from \
         before the upgrade"
    )))
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use super::*;

    /// Whether a program that does not know of a statement can work on beside one that does.
    fn only_adds(statement: &str) -> bool {
        let words = statement.split_whitespace().map(str::to_ascii_uppercase).collect::<Vec<_>>();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["CREATE", "TABLE" | "INDEX", ..] | ["COMMENT", "ON", ..] => true,
            // What is inserted without it must have a value.
            ["ALTER", "TABLE", _, "ADD", "COLUMN", rest @ ..] => !rest.contains(&"NOT") || rest.contains(&"DEFAULT"),
            _ => false,
        }
    }

    /// Its statements, without comments.
    fn statements(text: &str) -> Vec<String> {
        let code: Vec<_> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        code.join("\n").split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    }

    /// Every migration from the version on at which schemas began to say so only adds, or says who can live with it.
    pub(in crate::store) fn check(migrations: &Migrator, first: i64) {
        for migration in migrations.iter().filter(|migration| migration.version > first) {
            let raised = format!("UPDATE cluster SET works_from = {}", migration.version);
            let (raises, others): (Vec<_>, Vec<_>) =
                statements(migration.sql.as_str()).into_iter().partition(|one| *one == raised);
            if raises.is_empty() {
                let strange = others.iter().find(|one| !only_adds(one));
                assert_eq!(strange, None, "version {}: without `{raised}`, it may only add", migration.version);
            }
        }
    }

    #[test]
    fn what_only_adds_is_told_from_what_changes() {
        for adds in [
            "ALTER TABLE nodes ADD COLUMN certificate TEXT",
            "ALTER TABLE nodes ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0 CONSTRAINT c CHECK (leaving IN (0, 1))",
            "CREATE TABLE more (id BIGINT PRIMARY KEY)",
            "CREATE INDEX more_by_id ON more (id)",
        ] {
            assert!(only_adds(adds), "{adds}");
        }
        for changes in [
            "ALTER TABLE nodes ADD COLUMN certificate TEXT NOT NULL",
            "ALTER TABLE nodes DROP COLUMN certificate",
            "ALTER TABLE nodes RENAME COLUMN certificate TO shown",
            "DROP TABLE nodes",
            "UPDATE sessions SET state = 'gone'",
            "CREATE UNIQUE INDEX more_by_id ON more (id)",
        ] {
            assert!(!only_adds(changes), "{changes}");
        }
        assert_eq!(
            statements("-- one; two\nCREATE TABLE a (b TEXT); -- three\n\nDROP TABLE c;\n"),
            ["CREATE TABLE a (b TEXT)", "DROP TABLE c"]
        );
    }
}
