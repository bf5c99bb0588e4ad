//! The figures of a process, read as Prometheus does.

use std::collections::{BTreeMap, BTreeSet};

/// What an operator port answered.
#[derive(Debug)]
pub struct Scrape {
    samples: Vec<Sample>,
    helped: BTreeSet<String>,
}

/// A number with its labels.
#[derive(Debug)]
pub struct Sample {
    /// With `_bucket`, `_sum` or `_count` where it is a part of a histogram.
    pub name: String,
    /// By name.
    pub labels: BTreeMap<String, String>,
    /// As text: most are counts.
    pub value: String,
}

impl Scrape {
    /// Asks the operator port there, as `http://127.0.0.1:<port>`.
    pub async fn of(url: &str) -> Result<Self, String> {
        let answer = reqwest::get(format!("{url}/metrics")).await.map_err(|e| e.to_string())?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|e| e.to_string())?);
        match status.is_success() {
            true => Ok(Self::read(&text)),
            false => Err(format!("{status}: {text}")),
        }
    }

    fn read(text: &str) -> Self {
        let (comments, numbers): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let help = |line: &str| {
            let (name, what) = line.strip_prefix("# HELP ")?.split_once(' ')?;
            (!what.is_empty()).then(|| name.to_owned())
        };
        Self {
            samples: numbers.into_iter().map(Sample::read).collect(),
            helped: comments.into_iter().filter_map(help).collect(),
        }
    }

    /// All of it.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// What is described.
    pub fn is_helped(&self, sample: &Sample) -> bool {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| sample.name.strip_suffix(s));
        self.helped.contains(&sample.name) || family.is_some_and(|name| self.helped.contains(name))
    }

    /// The numbers of a figure with these labels, among others.
    pub fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&str> {
        let has = |sample: &&Sample| {
            let is = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(is)
        };
        self.samples.iter().filter(has).map(|sample| sample.value.as_str()).collect()
    }

    /// Their sum, as counts; 0 if there are none.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let values = self.values(name, labels).into_iter();
        values.map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} {value}"))).sum()
    }
}

impl Sample {
    /// Source of the format: the text format of Prometheus, version 0.0.4. No value of ours has a
    /// quote in it.
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
        let label = |text: &str| {
            let (name, value) = text.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            (name.trim_start_matches(',').to_owned(), value.to_owned())
        };
        let labels = labels.split_terminator('"').collect::<Vec<_>>();
        let labels = labels.chunks(2).map(|pair| label(&pair.join("\""))).collect();
        Self { name: name.to_owned(), labels, value: value.to_owned() }
    }
}
