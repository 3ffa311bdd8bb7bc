//! What a lock asks of the cluster: a session, its renewal, the lock itself, and news of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use serde::Deserialize;
use ureq::http::Method;

use super::super::super::client::{Answer, Client};
use super::super::keys::{Key, shown};
use super::Event;

/// How long a node keeps a question about the lock to itself when there are no news.
const NEWS: Duration = Duration::from_secs(10);
/// Between tries, when one failed, and when a lock that nobody holds cannot be had yet.
const PAUSE: Duration = Duration::from_millis(250);
/// For giving back: who ends wants to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Who holds the lock, or wants to.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    nodes: Vec<String>,
    key: Key,
    session: String,
    ttl: Duration,
    /// The key's value while we hold it.
    name: String,
}

/// A key as Consul's surface shows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    lock_index: u64,
    session: Option<String>,
    value: Option<String>,
}

impl Holder {
    /// Opens a session.
    pub(super) fn open(nodes: &[String], key: &Key, ttl: Duration) -> Result<Self, String> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("bowline kv lock, {}, process {}", host.trim(), std::process::id());
        let body = serde_json::json!({
            "Name": name, "TTL": format!("{}ms", ttl.as_millis()), "Behavior": "release",
        });
        let client = Client::with_patience(nodes, ttl / 4);
        let body = body.to_string();
        let answer = client.ask(&Method::PUT, "/v1/session/create", body.as_bytes());
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(answer.problem());
        }
        let opened: serde_json::Value =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let session = opened["ID"].as_str().ok_or("the node opened a session without a name")?;
        Ok(Self { nodes: nodes.to_vec(), key: key.clone(), session: session.to_owned(), ttl, name })
    }

    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The key as the command finds it; a variable cannot hold a NUL.
    pub(super) fn key_for_environment(&self) -> OsString {
        let key = self.key.bytes();
        if key.contains(&0) { self.key.escaped().into() } else { OsString::from_vec(key.to_vec()) }
    }

    /// Gives the lock back, and the session.
    pub(super) fn give_back(&self) -> Result<(), String> {
        let client = Client::with_patience(&self.nodes, LAST_WORDS);
        let ask = |path: &str, body: &str| {
            let answer = client.ask(&Method::PUT, path, body.as_bytes());
            answer.map_err(|error| error.to_string())
        };
        // First the lock: one that is given back can be taken at once, one that is lost only later.
        ask(&self.path(&format!("release={}", self.session)), &self.name)?;
        let answer = ask(&format!("/v1/session/destroy/{}", self.session), "")?;
        if answer.status == 200 { Ok(()) } else { Err(answer.problem()) }
    }

    fn path(&self, query: &str) -> String {
        format!("/v1/kv/{}?{query}", self.key.escaped())
    }

    /// How the key stands, once it is other than at this index.
    fn look(&self, client: &Client, index: u64) -> Result<(Option<Row>, u64), String> {
        let path = self.path(&format!("index={index}&wait={}s", NEWS.as_secs()));
        let answer = client.ask(&Method::GET, &path, &[]).map_err(|error| error.to_string())?;
        let index = answer.index.unwrap_or(0);
        match answer.status {
            200 => {
                let rows: Vec<Row> =
                    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
                Ok((rows.into_iter().next(), index))
            }
            404 => Ok((None, index)),
            _ => Err(answer.problem()),
        }
    }

    /// Whether the lock is ours now.
    fn acquire(&self, client: &Client) -> Attempt {
        let path = self.path(&format!("acquire={}", self.session));
        match client.ask(&Method::PUT, &path, self.name.as_bytes()) {
            Ok(answer) if answer.status == 200 && answer.text() == "true" => Attempt::Taken,
            Ok(answer) if answer.status == 200 => Attempt::Busy,
            Ok(answer) if is_final(&answer) => Attempt::Never(answer.problem()),
            Ok(_) | Err(_) => Attempt::Failed,
        }
    }

    fn is_ours(&self, row: &Row) -> bool {
        row.session.as_deref() == Some(&self.session)
    }
}

/// Whether asking again cannot help: the session is gone, or the request is wrong.
fn is_final(answer: &Answer) -> bool {
    let gone = answer.status == 500 && answer.text().contains("invalid session");
    gone || (400..500).contains(&answer.status) && ![408, 429].contains(&answer.status)
}

enum Attempt {
    Taken,
    Busy,
    /// Another try may help.
    Failed,
    Never(String),
}

/// Renews the session every half of its time, and more often when that fails, until it is gone.
pub(super) fn keep_alive(holder: Holder, opened: Instant, events: Sender<Event>) {
    let client = Client::with_patience(&holder.nodes, holder.ttl / 4);
    let path = format!("/v1/session/renew/{}", holder.session);
    thread::spawn(move || {
        let mut next = opened + holder.ttl / 2;
        let mut node = 0;
        loop {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            let event = match client.ask_node(node, &Method::PUT, &path, &[]) {
                Ok(answer) if answer.status == 200 => Event::Renewed(sent),
                Ok(answer) if answer.status == 404 => Event::Lost("its session has ended".into()),
                Ok(_) | Err(_) => {
                    node += 1;
                    next = Instant::now() + PAUSE;
                    continue;
                }
            };
            next = sent + holder.ttl / 2;
            let over = matches!(event, Event::Lost(_));
            if events.send(event).is_err() || over {
                return;
            }
        }
    });
}

/// Takes the lock as soon as it is free, and then watches over it.
pub(super) fn take_and_guard(holder: Holder, events: Sender<Event>) {
    thread::spawn(move || {
        let client = Client::with_patience(&holder.nodes, NEWS * 2);
        let why = match take(&holder, &client, &events) {
            Some(why) => why,
            None => guard(&holder, &client, &events),
        };
        // Who does not listen any more need not know.
        let _ = events.send(Event::Lost(why));
    });
}

/// Takes the lock, however long it takes; gives the reason when it cannot be had.
fn take(holder: &Holder, client: &Client, events: &Sender<Event>) -> Option<String> {
    let mut told = None;
    let mut index = 0;
    // How often in a row nobody held it, and yet it could not be had.
    let mut free = 0;
    loop {
        match holder.acquire(client) {
            Attempt::Taken => return None,
            Attempt::Never(why) => return Some(why),
            Attempt::Failed => {
                thread::sleep(PAUSE);
                continue;
            }
            Attempt::Busy => {}
        }
        let who = match holder.look(client, index) {
            Ok((Some(row), now)) if row.session.is_some() => {
                // The next look waits until it is another's, or free.
                (index, free) = (now, 0);
                format!("held by {}", name(&row))
            }
            Ok(_) if free == 0 => {
                (index, free) = (0, 1);
                continue;
            }
            Ok(_) => {
                thread::sleep(PAUSE);
                "its last holder lost it, and it rests for a moment".to_owned()
            }
            Err(_) => {
                thread::sleep(PAUSE);
                continue;
            }
        };
        if told.as_ref() != Some(&who) {
            told = Some(who.clone());
            if events.send(Event::Waiting(who)).is_err() {
                return Some("nobody waits for it any more".to_owned());
            }
        }
    }
}

/// Tells that the lock is ours, and comes back with the reason when it is not any more.
fn guard(holder: &Holder, client: &Client, events: &Sender<Event>) -> String {
    let mut index = 0;
    loop {
        match holder.look(client, index) {
            Ok((Some(row), now)) if holder.is_ours(&row) => {
                if index == 0 && events.send(Event::Taken(row.lock_index)).is_err() {
                    return "nobody needs it any more".to_owned();
                }
                index = now.max(1);
            }
            Ok((Some(row), _)) if row.session.is_some() => return format!("{} has it", name(&row)),
            Ok((Some(_), _)) => return "it was taken from its session".to_owned(),
            Ok((None, _)) => return "its key was removed".to_owned(),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Who holds a lock, as far as its value says.
fn name(row: &Row) -> String {
    use base64::Engine;
    let value = row.value.as_deref().unwrap_or_default();
    let value = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
    let session = row.session.as_deref().unwrap_or_default();
    match value.is_empty() {
        true => format!("session {}", shown(session.as_bytes())),
        false => shown(&value).chars().take(200).collect(),
    }
}
