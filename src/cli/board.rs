//! `board`: what an operator does to the link board.
//!
//! The node that is asked wants to know that it is an operator who asks, so the token in its data
//! directory is read here and sent along: these verbs run where that directory is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use ureq::http::Method;

use super::args::NodeUrls;
use super::client::{Answer, Client, plain};
use super::{Error, print};
use crate::node::OPERATOR_TOKEN;
use crate::state::board::NAME_LEN;

/// What operators can do to the link board.
#[derive(Subcommand, Clone, Debug)]
pub enum BoardVerb {
    /// Make users of the board moderators, or take that back
    #[command(subcommand)]
    Moderator(ModeratorVerb),
}

/// What can be done about moderators.
#[derive(Subcommand, Clone, Debug)]
pub enum ModeratorVerb {
    /// Make a user a moderator, who can make others
    Add(ModeratorArgs),
    /// Make a user a moderator no longer
    Remove(ModeratorArgs),
    /// Print the names of the moderators
    List(ListModeratorsArgs),
}

/// Arguments of `board moderator add` and `board moderator remove`.
#[derive(Args, Clone, Debug)]
pub struct ModeratorArgs {
    /// The user's name on the board
    #[arg(value_parser = user_name)]
    pub name: String,
    /// Data directory of the node that is asked: the token in it shows that you are its operator
    #[arg(long, value_name = "DIR", default_value = "./bowline-data")]
    pub data: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `board moderator list`.
#[derive(Args, Clone, Debug)]
pub struct ListModeratorsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// A name that an account of the board may have; so it needs no escapes in a path.
fn user_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let (min, max) = (NAME_LEN.start(), NAME_LEN.end());
    if plain && NAME_LEN.contains(&text.len()) {
        Ok(text.to_string())
    } else {
        Err(format!("names have {min} to {max} letters, digits, hyphens and underscores"))
    }
}

/// Runs one of the verbs.
pub(super) fn run(verb: &BoardVerb) -> Result<(), Error> {
    let BoardVerb::Moderator(verb) = verb;
    print(&moderator(verb)?)
}

fn moderator(verb: &ModeratorVerb) -> Result<String, Error> {
    let (args, method, done) = match verb {
        ModeratorVerb::List(args) => return list(args),
        ModeratorVerb::Add(args) => (args, Method::PUT, "is a moderator"),
        ModeratorVerb::Remove(args) => (args, Method::DELETE, "is no moderator"),
    };
    let answer = ask_as_operator(args, &method)?;
    match answer.status {
        200 => Ok(format!("{} {done}\n", args.name)),
        401 => Err(Error::new(format!(
            "{} is not the token of the node at {}: give the data directory of that node with --data \
             DIR, or the address of the node whose directory this is with --node URL",
            args.data.join(OPERATOR_TOKEN).display(),
            args.node.urls.join(", ")
        ))),
        404 => Err(Error::new(format!("{}: {}", args.name, answer.problem()))),
        _ => Err(Error::new(answer.problem())),
    }
}

/// What `GET /api/board/moderators` says.
#[derive(Deserialize)]
struct Moderators {
    moderators: Vec<String>,
}

fn list(args: &ListModeratorsArgs) -> Result<String, Error> {
    let list: Moderators = Client::new(&args.node.urls).get_json("/api/board/moderators")?;
    Ok(list.moderators.iter().map(|name| plain(name) + "\n").collect())
}

/// Asks the nodes in turn until one knows the token and has an answer. Of those that have none, that
/// counts most which knows the token.
fn ask_as_operator(args: &ModeratorArgs, method: &Method) -> Result<Answer, Error> {
    let bearer = format!("Bearer {}", token(&args.data)?);
    let path = format!("/api/board/moderators/{}", args.name);
    let client = Client::new(&args.node.urls);
    let (mut best, mut silence) = (None::<Answer>, String::new());
    for node in 0..args.node.urls.len() {
        match client.ask_node_with(node, method, &path, &[("Authorization", &bearer)], &[]) {
            Ok(answer) if ![401, 503].contains(&answer.status) => return Ok(answer),
            Ok(answer) if best.is_none() || answer.status == 503 => best = Some(answer),
            Ok(_) => {}
            Err(why) => silence = why,
        }
    }
    best.ok_or_else(|| {
        Error::new(format!("{silence}; is the node running? --node URL says where it listens"))
    })
}

/// The token in a data directory.
fn token(data: &Path) -> Result<String, Error> {
    let path = data.join(OPERATOR_TOKEN);
    let token = std::fs::read_to_string(&path).map_err(|error| {
        let shown = path.display();
        Error::new(match error.kind() {
            ErrorKind::NotFound => format!(
                "there is no {shown}: give the data directory of the node that is asked with --data \
                 DIR, on its machine; a node makes that file when it starts"
            ),
            ErrorKind::PermissionDenied => {
                format!("{shown} may not be read by you: run this as the user that runs the node")
            }
            _ => format!("cannot read {shown}: {error}"),
        })
    })?;
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let shown = path.display();
        return Err(Error::new(format!("{shown} holds no token: restart the node to get another")));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Reply};
    use super::*;

    /// A node that knows one token and one user.
    fn node(token: &'static str) -> String {
        testing::serve(move |asked| {
            if asked.line == "GET /api/board/moderators" {
                return Reply::new(200, r#"{"moderators":["ann","Bob"]}"#);
            }
            if !asked.head.contains(&format!("authorization: Bearer {token}")) {
                return Reply::new(401, r#"{"detail":"this wants a token"}"#);
            }
            match asked.line.as_str() {
                "PUT /api/board/moderators/ann" => Reply::new(200, "{}"),
                "DELETE /api/board/moderators/ann" => Reply::new(200, "{}"),
                "PUT /api/board/moderators/old" => Reply::new(503, r#"{"detail":"too old"}"#),
                "PUT /api/board/moderators/bob" => Reply::new(404, r#"{"detail":"no user"}"#),
                line => panic!("nobody asked for {line}"),
            }
        })
    }

    fn data(token: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("operator-token"), token).unwrap();
        dir
    }

    fn args(name: &str, data: &Path, urls: &[&str]) -> ModeratorArgs {
        let urls = urls.iter().map(ToString::to_string).collect();
        ModeratorArgs { name: name.into(), data: data.into(), node: NodeUrls { urls } }
    }

    fn add(name: &str, data: &Path, urls: &[&str]) -> Result<String, String> {
        moderator(&ModeratorVerb::Add(args(name, data, urls))).map_err(|error| error.to_string())
    }

    #[test]
    fn moderators_come_and_go() {
        let (data, base) = (data("secret\n"), node("secret"));
        assert_eq!(add("ann", data.path(), &[&base]).unwrap(), "ann is a moderator\n");
        let remove = ModeratorVerb::Remove(args("ann", data.path(), &[&base]));
        assert_eq!(moderator(&remove).unwrap(), "ann is no moderator\n");
        let node = NodeUrls { urls: vec![base.clone()] };
        let list = ModeratorVerb::List(ListModeratorsArgs { node });
        assert_eq!(moderator(&list).unwrap(), "ann\nBob\n");
        assert_eq!(add("bob", data.path(), &[&base]).unwrap_err(), "bob: no user");
        assert_eq!(add("old", data.path(), &[&base]).unwrap_err(), "too old");
    }

    #[test]
    fn the_node_whose_token_it_is_is_found_among_several() {
        let data = data("secret");
        let (own, other, down) = (node("secret"), node("other"), testing::nobody());
        let all = [other.as_str(), &down, &own];
        assert_eq!(add("ann", data.path(), &all).unwrap(), "ann is a moderator\n");
        let all = [own.as_str(), &down, &other];
        assert_eq!(add("old", data.path(), &all).unwrap_err(), "too old");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let (right, wrong, base) = (data("secret"), data("wrong"), node("secret"));
        let error = add("ann", wrong.path(), &[&base]).unwrap_err();
        assert!(error.contains("operator-token") && error.contains(&base), "{error}");
        let nothing = tempfile::tempdir().unwrap();
        let error = add("ann", nothing.path(), &[&base]).unwrap_err();
        assert!(error.contains("operator-token") && error.contains("--data DIR"), "{error}");
        for garbage in ["", " \n", "a b", "a\u{7}b"] {
            let error = add("ann", data(garbage).path(), &[&base]).unwrap_err();
            assert!(error.contains("holds no token"), "{error}");
        }
        let down = testing::nobody();
        let error = add("ann", right.path(), &[&down]).unwrap_err();
        assert!(error.contains(&down) && error.contains("--node URL"), "{error}");
    }
}
