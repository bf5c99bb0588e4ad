//! The history of a run: what was sent and what was answered, in the order in which it happened.
//!
//! It is all that the model knows. The index of a record is the run's clock: what was answered at a
//! lower index than something else was sent, happened before it. `--journal` writes the same
//! records as JSON lines, each before the run goes on, and `--verify` reads them back; so a file
//! tells even what was under way when the run itself was killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::plan::{Key, Order};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// An order is about to go out.
    Sent(Order),
    /// A key was answered.
    Answered {
        /// Which.
        key: Key,
        /// What.
        answer: Answer,
        /// As one that was answered before.
        replayed: bool,
    },
}

/// Append only, shared by everything in flight.
#[derive(Debug, Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    file: Option<File>,
}

impl History {
    /// An empty history that is also appended to a file, if there is one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn begin(file: Option<&Path>) -> Result<Self, String> {
        let open = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let file = file.map(open).transpose()?;
        Ok(Self { inner: Mutex::new(Inner { records: Vec::new(), file }) })
    }

    /// The history in a file. A last line without its end was cut off by a kill and is left out:
    /// what it would have told was not relied on yet.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self, String> {
        let at = |line: usize, why: String| format!("{} line {line}: {why}", path.display());
        let file = File::open(path).map_err(|error| at(0, error.to_string()))?;
        let mut reader = BufReader::new(file);
        let mut records = Vec::new();
        let mut line = String::new();
        while reader
            .read_line(&mut line)
            .map_err(|error| at(records.len() + 1, error.to_string()))?
            > 0
        {
            if !line.ends_with('\n') {
                break;
            }
            let record = serde_json::from_str(&line);
            records.push(record.map_err(|error| at(records.len() + 1, error.to_string()))?);
            line.clear();
        }
        Ok(Self { inner: Mutex::new(Inner { records, file: None }) })
    }

    /// Appends.
    ///
    /// # Errors
    /// When the file does not take it; the run must not go on as if it had.
    pub fn push(&self, record: Record) -> std::io::Result<()> {
        let mut inner = self.inner();
        if let Some(file) = &mut inner.file {
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        inner.records.push(record);
        Ok(())
    }

    /// A look at all of it so far. Nothing is recorded meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&[Record]) -> R) -> R {
        look(&self.inner().records)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A record is pushed in one piece, so a poisoned lock holds nothing broken.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::monkey::answer::Receipt;
    use crate::monkey::plan::Kind;

    fn records() -> Vec<Record> {
        let key = Key { wallet: "m-1".into(), request_id: "m-9".into() };
        let kind = Kind::Transfer { to: "m-2".into() };
        let order = Order { key: key.clone(), kind, amount: Decimal::new(1_250, 2) };
        let receipt = Receipt {
            id: "t-1".into(),
            balance: Some(Decimal::new(100, 2)),
            position: Some(7),
            ..Receipt::default()
        };
        let answer = Answer::Moved(receipt);
        vec![Record::Sent(order), Record::Answered { key, answer, replayed: false }]
    }

    #[test]
    fn a_history_comes_back_from_its_file_without_a_torn_last_line() {
        let path = std::env::temp_dir().join(format!("monkey-{}.jsonl", uuid::Uuid::new_v4()));
        for record in records() {
            History::begin(Some(&path)).unwrap().push(record).unwrap();
        }
        File::options().append(true).open(&path).unwrap().write_all(b"{\"sent\":").unwrap();
        let loaded = History::load(&path).unwrap().look(<[Record]>::to_vec);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(loaded, records());
    }
}
