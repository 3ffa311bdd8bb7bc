//! Asking a node over HTTP, and saying what went wrong in one line.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, Response};

use super::Error;
use super::stream::{self, Incoming};
use crate::ids::Id128;

/// How long an answer is waited for: well above the time within which a node answers anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What a node answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Status code.
    pub(super) status: u16,
    /// Where it redirects to.
    pub(super) location: Option<String>,
    /// Which version of a thing it is about, as `If-Match` takes it.
    pub(super) etag: Option<String>,
    /// Consul's index of what it is about.
    pub(super) index: Option<u64>,
    /// When it wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// Body, at most 10 MB.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as one line, without what would disturb a terminal.
    pub(super) fn text(&self) -> String {
        plain(String::from_utf8_lossy(&self.body).trim())
    }

    /// What an answer that was not hoped for says, in one line.
    pub(super) fn problem(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let said = ["detail", "title", "message"].iter().find_map(|field| body[*field].as_str());
        let said = match said {
            Some(said) => plain(said),
            None => plain(String::from_utf8_lossy(&self.body).lines().next().unwrap_or("")),
        };
        if said.is_empty() { format!("status {}", self.status) } else { said }
    }
}

/// Connections to the nodes named on the command line.
pub(super) struct Client {
    agent: Agent,
    nodes: Vec<String>,
}

impl Client {
    /// A client of these nodes (base URLs, at least one).
    pub(super) fn new(nodes: &[String]) -> Self {
        Self::with_patience(nodes, PATIENCE)
    }

    /// A client that waits this long for an answer.
    pub(super) fn with_patience(nodes: &[String], patience: Duration) -> Self {
        assert!(!nodes.is_empty(), "the command line has a default node");
        // No proxy: environments set one for the wide world, and nodes are close by.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(patience))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(patience)))
            .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, nodes: nodes.to_vec() }
    }

    /// Asks one node, which is given by its place in the list, counted round and round.
    ///
    /// # Errors
    /// When no answer came; the text says from where and why.
    pub(super) fn ask_node(
        &self,
        node: usize,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, String> {
        self.ask_node_with(node, method, path, &[], body)
    }

    /// The same with more header fields.
    ///
    /// # Errors
    /// As [`Client::ask_node`].
    pub(super) fn ask_node_with(
        &self,
        node: usize,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let base = &self.nodes[node % self.nodes.len()];
        let failed = |error: ureq::Error| format!("no answer from {base}: {}", reason(&error));
        let request = Request::builder().method(method).uri(format!("{base}{path}"));
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        // An empty body is one too, of length 0; without one, POST would come in chunks, of which some
        // servers do not expect the last.
        let has_body = [Method::POST, Method::PUT].contains(method);
        let response = if !has_body {
            let request = request.body(()).map_err(|error| failed(error.into()))?;
            self.agent.run(request)
        } else {
            let request = request.body(body).map_err(|error| failed(error.into()))?;
            self.agent.run(request)
        };
        let mut response = response.map_err(failed)?;
        let body = response.body_mut().read_to_vec().map_err(failed)?;
        Ok(Answer {
            status: response.status().as_u16(),
            location: header(&response, "location").map(str::to_string),
            etag: header(&response, "etag").map(str::to_string),
            index: header(&response, "x-consul-index").and_then(|index| index.parse().ok()),
            retry_after: header(&response, "retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            body,
        })
    }

    /// Asks the nodes in turn until one answers with something else than "not now".
    ///
    /// # Errors
    /// When none answered.
    pub(super) fn ask(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, Error> {
        self.turns(&[503], |node| self.ask_node(node, method, path, body))
    }

    /// Has something written once. It goes under an idempotency key of its own, so that the next node
    /// may be asked also when nobody knows what became of the last try.
    ///
    /// # Errors
    /// When none answered.
    pub(super) fn write_once(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Error> {
        let key = Id128::random().to_string();
        let headers = [headers, &[("Idempotency-Key", &key)]].concat();
        self.turns(&[503, 504], |node| self.ask_node_with(node, method, path, &headers, body))
    }

    /// Gets something long, to be read as it comes.
    ///
    /// # Errors
    /// When none of the nodes has it.
    pub(super) fn open(&self, path: &str) -> Result<Incoming, Error> {
        let mut last = Error::new("no node was named");
        for base in &self.nodes {
            match stream::get(base, path, &[]) {
                Ok(incoming) if incoming.status == 200 => return Ok(incoming),
                Ok(incoming) => {
                    let answer = incoming.into_answer();
                    last = Error::new(answer.problem());
                    if answer.status != 503 {
                        break;
                    }
                }
                Err(why) => last = Error::new(why),
            }
        }
        Err(last)
    }

    /// The base URL of a node, counted round and round.
    pub(super) fn base(&self, node: usize) -> &str {
        &self.nodes[node % self.nodes.len()]
    }

    /// Tries the nodes in turn until one gives an answer whose status is none of `passing`.
    fn turns(
        &self,
        passing: &[u16],
        ask: impl Fn(usize) -> Result<Answer, String>,
    ) -> Result<Answer, Error> {
        let mut last = Err(Error::new("no node was named"));
        for node in 0..self.nodes.len() {
            match ask(node) {
                Ok(answer) if !passing.contains(&answer.status) => return Ok(answer),
                Ok(answer) => last = Ok(answer),
                Err(why) if last.is_err() => last = Err(Error::new(why)),
                Err(_) => {}
            }
        }
        last
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// When none of the nodes has it.
    pub(super) fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.ask(&Method::GET, path, &[])?;
        if answer.status != 200 {
            return Err(Error::new(format!("{path}: {}", answer.problem())));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::new(format!("{path}: the answer makes no sense: {error}")))
    }
}

fn header<'a>(response: &'a Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "it took too long".into(),
        ureq::Error::HostNotFound => "there is no host of that name".into(),
        other => other.to_string(),
    }
}

/// A text from elsewhere made fit for one line of a terminal.
pub(super) fn plain(text: &str) -> String {
    const LEN_MAX: usize = 500;
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LEN_MAX).collect::<String>().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Reply};
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            location: None,
            etag: None,
            index: None,
            retry_after: None,
            body: body.into(),
        }
    }

    #[test]
    fn problems_become_one_line() {
        let problem = r#"{"title":"Not a URL","detail":"the URL has no host","retryable":false}"#;
        assert_eq!(answer(400, problem).problem(), "the URL has no host");
        assert_eq!(answer(400, r#"{"title":"Not a URL"}"#).problem(), "Not a URL");
        assert_eq!(answer(500, "first\nsecond").problem(), "first");
        assert_eq!(answer(500, "").problem(), "status 500");
        assert_eq!(answer(500, "a\x1b[31mb").problem(), "a [31mb");
    }

    #[test]
    fn the_next_node_is_asked_when_one_is_down_or_busy() {
        let busy = testing::serve(|_| Reply::new(503, "no leader"));
        let good = testing::serve(|_| Reply::new(200, "[1]"));
        let down = testing::nobody();
        let client = Client::new(&[down.clone(), busy.clone(), good]);
        assert_eq!(client.get_json::<Vec<u32>>("/x"), Ok(vec![1]));

        let client = Client::new(&[busy, down.clone()]);
        assert_eq!(client.ask(&Method::GET, "/x", &[]).unwrap().status, 503);

        let error = Client::new(std::slice::from_ref(&down)).get_json::<Value>("/x").unwrap_err();
        assert!(error.to_string().contains(&down), "{error}");
    }
}
