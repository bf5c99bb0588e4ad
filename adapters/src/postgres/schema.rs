//! What a database was migrated to, beside what this program knows.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::migrate::Migration;

use super::migrate::migrations;

/// How the two compare; versions are those of migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schema {
    /// All of this program's migrations are applied, and no others.
    Same(usize),
    /// Nobody has migrated.
    Nothing,
    /// These are not applied yet.
    Older(Vec<i64>),
    /// These are of a newer program: what they mean is not known here.
    Newer(Vec<i64>),
    /// These are not what this program has under the same number, or failed.
    Other(Vec<i64>),
}

/// Looks at a database.
pub(crate) async fn of(connection: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text")
        .fetch_one(&mut *connection)
        .await?;
    if there.is_none() {
        return Ok(Schema::Nothing);
    }
    let rows: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    Ok(compare(migrations(), rows))
}

/// What cannot be mended by going on comes first.
fn compare<'m>(
    ours: impl Iterator<Item = &'m Migration>,
    applied: Vec<(i64, Vec<u8>, bool)>,
) -> Schema {
    let mut theirs: BTreeMap<i64, (Vec<u8>, bool)> = applied
        .into_iter()
        .map(|(version, checksum, success)| (version, (checksum, success)))
        .collect();
    let (mut missing, mut other, mut count) = (Vec::new(), Vec::new(), 0);
    for migration in ours {
        count += 1;
        match theirs.remove(&migration.version) {
            Some((checksum, true)) if *checksum == *migration.checksum => {}
            Some(_) => other.push(migration.version),
            None => missing.push(migration.version),
        }
    }
    let newer: Vec<i64> = theirs.into_keys().collect();
    match () {
        () if !other.is_empty() => Schema::Other(other),
        () if !newer.is_empty() => Schema::Newer(newer),
        () if missing.len() == count => Schema::Nothing,
        () if !missing.is_empty() => Schema::Older(missing),
        () => Schema::Same(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Applied = (i64, Vec<u8>, bool);

    fn applied() -> Vec<Applied> {
        migrations().map(|of| (of.version, of.checksum.to_vec(), true)).collect()
    }

    #[test]
    fn what_was_migrated_is_compared_with_what_this_program_has() {
        assert_eq!(compare(migrations(), applied()), Schema::Same(migrations().count()));
        assert_eq!(compare(migrations(), Vec::new()), Schema::Nothing);
        let mut older = applied();
        let (last, ..) = older.pop().unwrap();
        assert_eq!(compare(migrations(), older.clone()), Schema::Older(vec![last]));
        // To migrate would not mend this one.
        older.push((9_999, vec![1], true));
        assert_eq!(compare(migrations(), older), Schema::Newer(vec![9_999]));
        let harms: [fn(&mut Applied); 2] = [|of| of.1[0] ^= 1, |of| of.2 = false];
        for harm in harms {
            let mut other = applied();
            harm(&mut other[0]);
            assert_eq!(compare(migrations(), other), Schema::Other(vec![1]));
        }
    }
}
