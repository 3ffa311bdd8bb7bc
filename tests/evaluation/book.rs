//! What was acknowledged, and what a server has of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// All keys of the evaluation begin with this.
pub const PREFIX: &str = "evaluation/";

/// Numbers by key.
pub type Numbers = BTreeMap<String, u64>;

/// The last number of each key whose write was acknowledged.
#[derive(Default)]
pub struct Book(Mutex<(Numbers, u64)>);

impl Book {
    /// Notes an acknowledgement. The numbers of a key are written in order, by one writer.
    pub fn acknowledged(&self, key: &str, number: u64) {
        let mut book = self.0.lock().unwrap();
        book.0.insert(key.to_owned(), number);
        book.1 += 1;
    }

    /// How many writes were acknowledged.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap().1
    }

    /// What must be there from now on.
    pub fn so_far(&self) -> Numbers {
        self.0.lock().unwrap().0.clone()
    }
}

/// An HTTP client of one thread: its connections stay, and it does not wait long for a server that says
/// nothing.
pub struct Asker(ureq::Agent);

impl Asker {
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(3)))
            .build();
        Self(config.into())
    }

    /// Status and body.
    pub fn ask(&self, method: &str, url: &str, body: &str) -> Result<(u16, String), String> {
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = request.body(body.to_owned()).map_err(|error| error.to_string())?;
        let mut answer = self.0.run(request).map_err(|error| error.to_string())?;
        let body = answer.body_mut().with_config().limit(64 << 20).read_to_string();
        Ok((answer.status().as_u16(), body.map_err(|error| error.to_string())?))
    }

    /// Sets a key through the server at this address; Consul's way or the native one. Whether that was
    /// acknowledged.
    pub fn put(&self, http: &str, key: &str, number: u64) -> bool {
        let native = number.is_multiple_of(2);
        let path = if native { "/api/kv/" } else { "/v1/kv/" };
        match self.ask("PUT", &format!("{http}{path}{key}"), &number.to_string()) {
            Ok((200 | 201, body)) => native || body.trim() == "true",
            Ok(_) | Err(_) => false,
        }
    }

    /// What a fresh read of a key gives, if it gives anything.
    pub fn get(&self, http: &str, key: &str) -> Result<u64, String> {
        match self.ask("GET", &format!("{http}/v1/kv/{key}?raw"), "")? {
            (200, body) => body.parse().map_err(|_| body),
            (404, _) => Ok(0),
            (status, body) => Err(format!("{status}: {body}")),
        }
    }

    /// What a server has in its own state; nothing if it does not say.
    pub fn has(&self, http: &str) -> Numbers {
        let answer = self.ask("GET", &format!("{http}/v1/kv/{PREFIX}?recurse&stale"), "");
        let Ok((200, body)) = answer else { return Numbers::new() };
        let listed: Vec<Value> = serde_json::from_str(&body).unwrap();
        let number = |entry: &Value| {
            let value = STANDARD.decode(entry["Value"].as_str().unwrap()).unwrap();
            let number = String::from_utf8(value).unwrap().parse().unwrap();
            (entry["Key"].as_str().unwrap().to_owned(), number)
        };
        listed.iter().map(number).collect()
    }
}
