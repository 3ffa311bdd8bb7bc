//! `scrub`: asks a node to read all of its state, and to see whether it still is what was written.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::Method;

use super::args::ScrubArgs;
use super::client::{Answer, Client};
use super::{Error, print};

const PATH: &str = "/api/scrub";

/// Pause between two looks at a scrub that is waited for.
const PAUSE: Duration = Duration::from_millis(500);

/// What a node says about its scrub.
#[derive(Clone, Debug, Deserialize)]
struct Report {
    asked: u64,
    ended: u64,
    running: bool,
    rows: u64,
    bytes: u64,
    sound: Option<bool>,
    result: Option<String>,
}

/// Starts a scrub, and waits for its end if that is wanted.
pub(super) fn run(args: &ScrubArgs) -> Result<(), Error> {
    print(&format!("{}\n", scrub(args, PAUSE)?))
}

fn scrub(args: &ScrubArgs, pause: Duration) -> Result<String, Error> {
    let (client, asked) = ask(&args.node.urls)?;
    if !args.wait {
        return Ok(if asked.running {
            format!("a scrub is under way: {} rows ({} bytes) so far", asked.rows, asked.bytes)
        } else {
            "a scrub begins; --wait tells what it finds".to_owned()
        });
    }
    let mut report = asked.clone();
    while report.ended < asked.asked {
        std::thread::sleep(pause);
        report = client.get_json(PATH)?;
        if report.asked < asked.asked {
            return Err(Error::new("the node was restarted meanwhile: ask again"));
        }
    }
    let result = report.result.unwrap_or_default();
    match report.sound {
        Some(true) => Ok(format!("the state is sound: {result}")),
        Some(false) => Err(Error::new(format!("the state is DAMAGED: {result}"))),
        None => Err(Error::new(format!("the scrub did not come to its end: {result}"))),
    }
}

/// Asks the first node that takes it; what is asked later is asked of the same.
fn ask(nodes: &[String]) -> Result<(Client, Report), Error> {
    let mut trouble = String::new();
    for node in nodes {
        let client = Client::new(std::slice::from_ref(node));
        match client.ask_node(0, &Method::POST, PATH, &[]) {
            Ok(answer) if answer.status == 202 => return Ok((client, decode(&answer)?)),
            Ok(answer) => trouble = answer.problem(),
            Err(why) => trouble = why,
        }
    }
    Err(Error::new(trouble))
}

fn decode(answer: &Answer) -> Result<Report, Error> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Error::new(format!("{PATH}: the answer makes no sense: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::args::NodeUrls;
    use super::super::testing::{self, Reply};
    use super::*;

    fn report(asked: u64, ended: u64, sound: &str) -> String {
        format!(
            r#"{{"asked":{asked},"ended":{ended},"running":{},"rows":7,"bytes":900,
                "started_ms":1,"finished_ms":null,"sound":{sound},"result":"7 rows read"}}"#,
            ended < asked
        )
    }

    /// A node whose scrub 3 ends like this, at the third look at it; and one before it that is down.
    fn nodes(end: String) -> Vec<String> {
        let looks = AtomicU64::new(0);
        let node = testing::serve(move |asked| match asked.line.as_str() {
            "POST /api/scrub" => Reply::new(202, &report(3, 2, "true")),
            "GET /api/scrub" if looks.fetch_add(1, Ordering::Relaxed) < 2 => {
                Reply::new(200, &report(3, 2, "null"))
            }
            "GET /api/scrub" => Reply::new(200, &end),
            line => panic!("nobody asks for {line}"),
        });
        vec![testing::nobody(), node]
    }

    fn outcome(end: String, wait: bool) -> Result<String, Error> {
        scrub(&ScrubArgs { wait, node: NodeUrls { urls: nodes(end) } }, Duration::ZERO)
    }

    #[test]
    fn its_end_is_waited_for_and_told() {
        assert_eq!(outcome(report(3, 3, "true"), true).unwrap(), "the state is sound: 7 rows read");
        for (sound, text) in [("false", "DAMAGED"), ("null", "did not come to its end")] {
            let error = outcome(report(3, 3, sound), true).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("7 rows read"), "{error}");
        }
        let error = outcome(report(0, 0, "null"), true).unwrap_err().to_string();
        assert!(error.contains("restarted"), "{error}");
    }

    #[test]
    fn without_waiting_it_is_only_begun() {
        let told = outcome(String::new(), false).unwrap();
        assert_eq!(told, "a scrub is under way: 7 rows (900 bytes) so far");
    }

    #[test]
    fn a_refusal_is_told() {
        let lost = testing::serve(|_| Reply::new(503, r#"{"detail":"not to be trusted"}"#));
        let args = ScrubArgs { wait: true, node: NodeUrls { urls: vec![lost] } };
        assert_eq!(scrub(&args, Duration::ZERO), Err(Error::new("not to be trusted")));
    }
}
