//! What a channel and its messages consist of, whatever they are about.

use async_nats::HeaderMap;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::nats::stream::Stream;

/// Which way messages go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Florin publishes them.
    Out,
    /// Florin takes them.
    In,
}

impl Way {
    /// As AsyncAPI calls what Florin does.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Out => "send",
            Self::In => "receive",
        }
    }
}

/// Subjects that are alike, and what is published there.
pub(crate) struct Channel {
    /// Its name in the document.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// The subject, with `{parameter}` for every token that differs.
    pub(crate) address: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) way: Way,
    /// What keeps them.
    pub(crate) stream: Stream,
    pub(crate) messages: Vec<Message>,
}

/// A token of the subject.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// What it may be, as a regular expression without anchors.
    pub(crate) pattern: &'static str,
    /// All that it may be, where that is known.
    pub(crate) values: Vec<String>,
    pub(crate) example: &'static str,
}

/// One kind of message, in one version.
pub(crate) struct Message {
    /// As `ce-type` has it.
    pub(crate) name: &'static str,
    /// The version of its shape, where it has any.
    pub(crate) version: Option<String>,
    pub(crate) summary: String,
    /// Its subject: the channel's, with those parameters filled in that all such messages share.
    pub(crate) subject: String,
    /// The schema of each header, and whether it is always there.
    pub(crate) headers: Vec<Header>,
    pub(crate) payload: Schema,
    pub(crate) example: Example,
}

/// A header.
pub(crate) struct Header {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) schema: Value,
}

/// A message as it is sent.
pub(crate) struct Example {
    pub(crate) subject: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) payload: Value,
}

impl Message {
    /// Its name in the document: `<name>-<version>`.
    pub(crate) fn key(&self) -> String {
        match &self.version {
            Some(version) => format!("{}-{version}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The schema of its headers. There may be others.
    pub(crate) fn headers(&self) -> Value {
        let of = |header: &Header| (header.name.to_owned(), header.schema.clone());
        let properties: Map<String, Value> = self.headers.iter().map(of).collect();
        let required = self.headers.iter().filter(|header| header.is_required);
        let required: Vec<&str> = required.map(|header| header.name).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }
}

impl Example {
    /// Of a message that is about to be sent.
    pub(crate) fn of(
        subject: &str,
        headers: &HeaderMap,
        payload: &[u8],
    ) -> Result<Self, serde_json::Error> {
        let value = |values: &[async_nats::HeaderValue]| {
            values.first().map_or(Value::Null, |value| value.as_str().into())
        };
        let headers = headers.iter().map(|(name, values)| (name.to_string(), value(values)));
        Ok(Self {
            subject: subject.to_owned(),
            headers: headers.collect(),
            payload: serde_json::from_slice(payload)?,
        })
    }
}

/// A header that is always there and matches a pattern.
pub(crate) fn text(name: &'static str, description: &str, pattern: &str) -> Header {
    let schema = json!({ "description": description, "type": "string", "pattern": pattern });
    Header { name, is_required: true, schema }
}

/// A header that is always there and always the same.
pub(crate) fn fixed(name: &'static str, description: &str, value: &str) -> Header {
    let schema = json!({ "description": description, "type": "string", "const": value });
    Header { name, is_required: true, schema }
}

impl Header {
    /// The same, where it is not always there.
    pub(crate) fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }
}
