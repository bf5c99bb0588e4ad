//! The file of the fraud rules, read and checked before anything else starts.

use std::io;
use std::path::{Path, PathBuf};

use florin_domain::fraud::Settings;
use florin_projections::fraud::settings;
use sqlx::PgPool;
use thiserror::Error;

/// The largest file: a hundred times what all rules with every currency take.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum RulesError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {cause}", path = .0.display(), cause = .1)]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file is not one of fraud rules.
    #[error("{path} is too large: at most {MAX_FILE_BYTES} bytes", path = .0.display())]
    TooLarge(PathBuf),
    /// The file is not TOML, names what there is not, or goes beyond a bound.
    #[error("{path}: {cause}", path = .0.display(), cause = .1)]
    Invalid(PathBuf, #[source] Box<toml::de::Error>),
}

/// The settings in a file; the defaults without one.
///
/// # Errors
/// [`RulesError`], which names the file, and the line or the setting.
pub fn read(path: Option<&Path>) -> Result<Settings, RulesError> {
    let Some(path) = path else { return Ok(Settings::default()) };
    let unreadable = |error| RulesError::Unreadable(path.to_owned(), error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(RulesError::TooLarge(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str(&text).map_err(|error| RulesError::Invalid(path.to_owned(), Box::new(error)))
}

/// Makes these the settings for every event that is not folded yet, and says so once where they were
/// not. To be called by whoever folds, before it begins.
///
/// # Errors
/// When Postgres is away: to be tried again.
pub async fn adopt(pool: &PgPool, partitions: u32, settings: &Settings) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    for adopted in settings::adopt(&mut connection, partitions, settings).await? {
        let settings::Adopted { partition, after } = adopted;
        tracing::warn!(
            partition,
            after,
            "fraud rules changed: they judge the events after this position; what was found before \
             stands until `fraud` is rebuilt"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use florin_domain::fraud::Rule;

    use super::*;

    fn read_text(text: &str) -> Result<Settings, String> {
        let dir = std::env::temp_dir().join(format!("florin-rules-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("rules.toml");
        std::fs::write(&path, text).unwrap();
        let settings = read(Some(&path)).map_err(|error| error.to_string());
        std::fs::remove_dir_all(&dir).unwrap();
        settings
    }

    #[test]
    fn without_a_file_every_rule_has_its_defaults() {
        assert_eq!(read(None).unwrap(), Settings::default());
        assert_eq!(read_text("").unwrap(), Settings::default());
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let settings = read_text("[rules.largeOutflow]\nfreeze = true\n").unwrap();
        assert!(settings.freezes(Rule::LargeOutflow) && !settings.freezes(Rule::RoundTrip));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("[rules.frequentWithdrawals]\ncount = 0\n", "rules.frequentWithdrawals.count"),
            ("[rules.frequentDeposits]\n", "frequentDeposits"),
            ("[rules\n", "line 1"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(expected) && error.contains("rules.toml"), "{error}");
        }
        let missing = read(Some(Path::new("/nowhere/rules.toml"))).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/rules.toml cannot be read"));
    }
}
