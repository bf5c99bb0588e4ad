//! The file of settings: beneath flags and variables, above the defaults.
//!
//! ```toml
//! database-url = "postgres://florin@db/florin"
//! port = 8080
//! auto-open = false
//! ```
//!
//! A key is the name of a flag. One file does for all verbs: what only others take is checked too, and
//! left alone. What nobody takes is refused, so that a slip of the pen is not a setting that is not set.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::setting::{Setting, Settings, names, nearest};

/// The largest file: a hundred times what all settings take.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the file is.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFileArgs {
    /// The file of settings (TOML), each under the name of its flag; flags and variables go before it.
    #[arg(long, env = "FLORIN_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why the settings in a file are not taken.
#[derive(Debug, Error)]
pub enum ConfigFileError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {cause}", path = .0.display(), cause = .1)]
    Unreadable(PathBuf, #[source] io::Error),
    /// No settings are that long.
    #[error("{path} is too large: at most {MAX_FILE_BYTES} bytes", path = .0.display())]
    TooLarge(PathBuf),
    /// A line says what cannot be.
    #[error("{}:{line}: {wrong}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        wrong: WrongLine,
    },
}

/// What is wrong with a line.
#[derive(Debug, Error)]
pub enum WrongLine {
    /// It is not TOML. (What it is, is not repeated: it may be a secret.)
    #[error("{0}")]
    Syntax(String),
    /// Nothing is configured by that.
    #[error("`{key}` is no setting; the nearest is `{nearest}`")]
    Unknown {
        /// As it is written.
        key: String,
        /// What may have been meant.
        nearest: String,
    },
    /// It is of no kind that a setting is of.
    #[error("`{key}` is not set by {kind}: write a text, a number, true or false")]
    Kind {
        /// The setting.
        key: String,
        /// What is there.
        kind: &'static str,
    },
    /// The setting cannot be that.
    #[error("`{key}`: {why}")]
    Value {
        /// The setting.
        key: String,
        /// Why not.
        why: String,
    },
}

/// The settings in a file.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<String, Value>,
}

/// As a flag would have it.
#[derive(Debug)]
struct Value {
    text: String,
    line: usize,
}

impl ConfigFile {
    /// Reads a file, and holds what it says against what can be configured.
    ///
    /// # Errors
    /// [`ConfigFileError`], which names the file, and the line and the key.
    pub fn read(path: &Path, settings: &Settings) -> Result<Self, ConfigFileError> {
        let unreadable = |error| ConfigFileError::Unreadable(path.to_owned(), error);
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
            return Err(ConfigFileError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let values = values(&text, settings).map_err(|(line, wrong)| ConfigFileError::Line {
            path: path.to_owned(),
            line,
            wrong,
        })?;
        Ok(Self { path: path.to_owned(), values })
    }

    /// The command, and every verb below it, with what the file says in place of their defaults. So
    /// variables and flags go before it, by the same rules as before defaults.
    pub fn beneath(&self, command: Command) -> Command {
        let command = command.mut_args(|argument| {
            let value = names(&argument).and_then(|(key, _)| self.values.get(key));
            let Some(value) = value else { return argument };
            let is_secret = argument.is_hide_env_values_set();
            argument.required(false).default_value(value.text.clone()).hide_default_value(is_secret)
        });
        command.mut_subcommands(|verb| self.beneath(verb))
    }

    /// Where the file says what a setting is: `florin.toml:3`.
    pub fn place(&self, key: &str) -> Option<String> {
        let value = self.values.get(key)?;
        Some(format!("{}:{}", self.path.display(), value.line))
    }
}

fn values(text: &str, settings: &Settings) -> Result<BTreeMap<String, Value>, (usize, WrongLine)> {
    let line = |at: Range<usize>| line_of(text, at.start);
    let table = DeTable::parse(text).map_err(|error| {
        let wrong = WrongLine::Syntax(error.message().replace('\n', ", "));
        (line(error.span().unwrap_or_default()), wrong)
    })?;
    let values = table.get_ref().iter().map(|(key, value)| {
        let line = line(key.span());
        let key: &str = key.get_ref();
        match read(key, value.get_ref(), settings) {
            Ok(text) => Ok((key.to_owned(), Value { text, line })),
            Err(wrong) => Err((line, wrong)),
        }
    });
    values.collect()
}

/// Lines are counted from 1 on.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// What a flag would be given.
fn read(key: &str, value: &DeValue<'_>, settings: &Settings) -> Result<String, WrongLine> {
    let setting = settings.in_file(key).ok_or_else(|| {
        let keys = settings.iter().filter(|setting| setting.is_in_file());
        let nearest = nearest(key, keys.map(|setting| &*setting.key)).unwrap_or_default();
        WrongLine::Unknown { key: key.to_owned(), nearest: nearest.to_owned() }
    })?;
    let kind = |kind| Err(WrongLine::Kind { key: key.to_owned(), kind });
    let text = match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => return kind("a time"),
        DeValue::Array(_) => return kind("a list"),
        DeValue::Table(_) => return kind("a table"),
    };
    match check(setting, &text) {
        Ok(()) => Ok(text),
        Err(why) => Err(WrongLine::Value { key: key.to_owned(), why }),
    }
}

/// Whether the flag would take it; asked of the flag by itself, so that nothing else is in the answer.
fn check(setting: &Setting, text: &str) -> Result<(), String> {
    let alone = Command::new("florin").no_binary_name(true);
    let alone = alone.arg(setting.argument.clone().required(false));
    let Err(error) = alone.try_get_matches_from([format!("--{}={text}", setting.key)]) else {
        return Ok(());
    };
    if setting.is_secret() {
        return Err("it cannot be that, which is not shown".to_owned());
    }
    // What is wrong comes first, then an empty line and how to get help for flags.
    let said = error.render().to_string();
    let said = said.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let said = said.collect::<Vec<_>>().join(" ");
    Err(said.strip_prefix("error: ").unwrap_or(&said).to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn florin() -> Command {
        let port = Arg::new("port").long("port").env("FLORIN_TEST_PORT").default_value("3000");
        let port = port.value_parser(clap::value_parser!(u16));
        let url = Arg::new("url").long("database-url").env("FLORIN_TEST_URL").required(true);
        let auth = Arg::new("auth").long("auth").env("FLORIN_TEST_AUTH").hide_env_values(true);
        let json = Arg::new("json").long("json");
        let serve = Command::new("serve").args([port, url]);
        let worker = Command::new("worker").arg(auth.value_parser(["jwt", "off"]));
        ConfigFileArgs::augment_args(Command::new("florin").arg(json)).subcommands([serve, worker])
    }

    fn read_text(text: &str) -> Result<ConfigFile, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("florin.toml");
        std::fs::write(&path, text).unwrap();
        ConfigFile::read(&path, &Settings::of(&florin())).map_err(|error| {
            let error = error.to_string();
            error.strip_prefix(&format!("{}:", path.display())).map(str::to_owned).unwrap()
        })
    }

    #[test]
    fn a_file_goes_before_the_default_and_behind_a_flag() {
        let file = read_text("# where\ndatabase-url = \"a=b\"\nport = 8080\n").unwrap();
        let florin = file.beneath(florin());
        for (arguments, port) in
            [(&["florin", "serve"][..], 8080), (&["florin", "serve", "--port=1"], 1)]
        {
            let matches = florin.clone().try_get_matches_from(arguments).unwrap();
            let (_, serve) = matches.subcommand().unwrap();
            assert_eq!(serve.get_one::<u16>("port"), Some(&port));
            assert_eq!(serve.get_one::<String>("url").unwrap(), "a=b");
        }
        assert!(file.place("port").unwrap().ends_with("florin.toml:3"));
        assert_eq!(file.place("auth"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_may_have_been_meant() {
        for (text, expected) in [
            ("prot = 1", "1: `prot` is no setting; the nearest is `port`"),
            ("DATABASE_URL = 1", "1: `DATABASE_URL` is no setting; the nearest is `database-url`"),
            (
                "[port]\na = 1",
                "1: `port` is not set by a table: write a text, a number, true or false",
            ),
            (
                "\nport = 70000",
                "2: `port`: invalid value '70000' for '--port <port>': 70000 is not in 0..=65535",
            ),
            ("auth = \"hush\"", "1: `auth`: it cannot be that, which is not shown"),
            ("port = 1\nport = 2", "2: duplicate key"),
        ] {
            assert_eq!(read_text(text).unwrap_err(), expected);
        }
        for (text, key) in [("json = true", "json"), ("config = \"other.toml\"", "config")] {
            let expected = format!("1: `{key}` is no setting");
            assert!(read_text(text).unwrap_err().starts_with(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        let error = read_text("port = 1\nauth = \"hush\n").unwrap_err();
        assert!(error.starts_with("2: ") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let read = ConfigFile::read(Path::new("/nowhere/florin.toml"), &Settings::default());
        let error = read.unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/florin.toml cannot be read"), "{error}");
    }
}
