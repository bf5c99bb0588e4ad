//! A client of server-sent events, which reads as browsers do and holds every event against the
//! contract.
//!
//! Source of the format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::contract;
use crate::store::DEADLINE;

/// An open stream.
pub struct EventStream {
    response: Response,
    path: String,
    received: Vec<u8>,
    /// The last id that was received, to resume with.
    pub last_id: String,
}

/// What one block of the stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// An event.
    Event {
        /// What the client has when it has it.
        id: String,
        /// Its type.
        kind: String,
        /// Its data.
        data: Value,
    },
    /// No event; what the comment says.
    Comment(String),
    /// The last event, and why.
    End(String),
}

impl EventStream {
    /// Sends a request that is answered by a stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, path) = (response.status(), response.url().path().to_owned());
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(status, 200, "{path}");
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-accel-buffering"), "no");
        let begins = header("florin-position");
        let mut stream = Self { response, path, received: Vec::new(), last_id: String::new() };
        // Where it begins is said at once.
        let first = stream.next().await;
        assert_eq!(first, Some(Block::Comment(format!("after {begins}"))));
        assert_eq!(stream.last_id, begins);
        stream
    }

    /// The next block; none when the stream is over.
    pub async fn next(&mut self) -> Option<Block> {
        timeout(DEADLINE, self.try_next()).await.expect("nothing comes").expect("it breaks off")
    }

    /// The same, where the stream may break off.
    pub async fn try_next(&mut self) -> Result<Option<Block>, reqwest::Error> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                return Ok(Some(self.block(std::str::from_utf8(&block).unwrap())));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.received.extend_from_slice(&chunk),
                None => {
                    assert!(self.received.is_empty(), "it ends within a block");
                    return Ok(None);
                }
            }
        }
    }

    /// The next event, whatever comments come before; its id and its data.
    pub async fn event(&mut self) -> (String, Value) {
        let next = async {
            loop {
                match self.next().await {
                    Some(Block::Event { id, data, .. }) => return (id, data),
                    Some(Block::Comment(_)) => {}
                    other => panic!("no event, but {other:?}"),
                }
            }
        };
        timeout(DEADLINE, next).await.expect("nothing comes but comments")
    }

    /// Why it is over, whatever comes before.
    pub async fn end(mut self) -> String {
        loop {
            if let Some(Block::End(code)) = self.next().await {
                assert_eq!(self.next().await, None);
                return code;
            }
        }
    }

    fn block(&mut self, text: &str) -> Block {
        let mut fields = [const { None }; 4];
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let place = match name {
                "" => 0,
                "id" => 1,
                "event" => 2,
                "data" => 3,
                "retry" => continue,
                _ => panic!("{line:?} is no field"),
            };
            assert_eq!(fields[place].replace(value.to_owned()), None, "{text:?}");
        }
        let [comment, id, kind, data] = fields;
        if let Some(id) = &id {
            self.last_id.clone_from(id);
        }
        match (comment, kind, data) {
            (Some(comment), None, None) => Block::Comment(comment),
            (None, Some(kind), Some(data)) => {
                let data: Value = serde_json::from_str(&data).unwrap();
                if kind == "end" {
                    assert!(data["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
                    return Block::End(data["code"].as_str().unwrap().to_owned());
                }
                contract::check_data(&self.path, &data);
                assert_eq!(data["type"], *kind);
                Block::Event { id: id.unwrap(), kind, data }
            }
            other => panic!("{text:?} is neither an event nor a comment: {other:?}"),
        }
    }
}
