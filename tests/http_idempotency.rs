//! Writes under a client's own key, as the API shows them, through both fronts.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::error::{Failure, Reason};
use http_support::{Answer, Api, Front, Mood, index, problem};

const URL: &str = "https://example.com/a/long/url?with=a&query#and-more";

both_fronts! {
    a_key_makes_a_write_happen_once,
    a_key_belongs_to_one_request,
    a_key_is_checked_where_it_is_used,
    a_first_answer_is_given_again_whatever_happened_since,
}

fn replayed(answer: &Answer) -> bool {
    match answer.header("Idempotency-Replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

fn a_key_makes_a_write_happen_once(front: Front) {
    let api = Api::start(front);
    let first = api.put_under("8e03978e-40d5-43dd-bc93-6894a57f9324", URL);
    assert_eq!((first.status, replayed(&first)), (201, false));
    let again = api.put_under("8e03978e-40d5-43dd-bc93-6894a57f9324", URL);
    assert_eq!((again.status, replayed(&again)), (201, true), "not 200: it is the first answer");
    assert_eq!((&again.body, again.header("Location")), (&first.body, first.header("Location")));
    assert_eq!(index(&again), api.node.applied(), "as of now");
    let other = api.put_under("8e03978e-40d5-43dd-bc93-6894a57f9325", URL);
    assert_eq!((other.status, replayed(&other)), (200, false));
    assert_eq!(api.put(URL).status, 200);
    let state = api.get("/api/status").json();
    assert_eq!((&state["state"]["links"], &state["state"]["revision"]), (&1.into(), &2.into()));
}

fn a_key_belongs_to_one_request(front: Front) {
    let api = Api::start(front);
    assert_eq!(api.put_under("k", URL).status, 201);
    let before = api.get("/api/status").json()["state"]["links"].clone();
    let json = problem(&api.put_under("k", "https://example.com/another"), 422);
    assert_eq!((&json["retryable"], &json["outcome"]), (&false.into(), &"not_applied".into()));
    assert!(json["detail"].as_str().unwrap().contains("Idempotency-Key"), "{json}");
    // Another method is another request, even where both do the same.
    problem(&api.ask_with("POST", "/", "Idempotency-Key: k\r\n", URL), 422);
    // The query only says how to answer.
    api.node.set_status(|status| status.leader = Some(1));
    let again = api.ask_with("PUT", "/?forward=refuse", "idempotency-key:  k \r\n", URL);
    assert_eq!((again.status, replayed(&again)), (201, true));
    assert_eq!(api.get("/api/status").json()["state"]["links"], before);
}

fn a_key_is_checked_where_it_is_used(front: Front) {
    let api = Api::start(front);
    let longest = "~".repeat(255);
    for key in ["!", &longest, "\"quoted\""] {
        let answer = api.put_under(key, URL);
        assert!([200, 201].contains(&answer.status) && !replayed(&answer), "{answer:?}");
    }
    let applied = api.node.applied();
    let long = "~".repeat(256);
    for key in ["", " ", "two words", "tab\there", &long, "\u{fc}"] {
        if front == Front::Tiny && !key.is_ascii() {
            continue; // the library hangs up on it
        }
        let json = problem(&api.put_under(key, URL), 400);
        assert!(json["detail"].as_str().unwrap().contains("Idempotency-Key"), "{json}");
    }
    for second in ["a", "b"] {
        let headers = format!("Idempotency-Key: a\r\nIDEMPOTENCY-KEY: {second}\r\n");
        let json = problem(&api.ask_with("PUT", "/", &headers, URL), 400);
        assert!(json["detail"].as_str().unwrap().contains("more than one"), "{json}");
    }
    assert_eq!(api.node.applied(), applied, "nothing was asked for");
    // Who only reads may send what it likes.
    assert_eq!(api.ask_with("GET", "/livez", "Idempotency-Key: two words\r\n", "").status, 200);
}

fn a_first_answer_is_given_again_whatever_happened_since(front: Front) {
    let api = Api::start(front);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    problem(&api.put_under("k", URL), 503);
    api.node.set_mood(Mood::Fine);
    let first = api.put_under("k", URL);
    assert_eq!((first.status, replayed(&first)), (201, false), "a failure is no answer");
    // A client whose answer was lost on the way asks again, here or anywhere.
    api.node.set_mood(Mood::Fails(Failure::unknown(Reason::Deadline)));
    problem(&api.put_under("k", URL), 504);
    api.node.set_mood(Mood::Fine);
    let again = api.put_under("k", URL);
    assert_eq!((again.status, replayed(&again)), (201, true));
}
