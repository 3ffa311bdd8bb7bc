//! `put` and `get`: one link.

use ureq::http::Method;

use super::args::{GetArgs, PutArgs};
use super::client::Client;
use super::{Error, print};

/// Shortens a URL and prints its key.
pub(super) fn put(args: &PutArgs) -> Result<(), Error> {
    print(&format!("{}\n", put_key(args)?))
}

fn put_key(args: &PutArgs) -> Result<String, Error> {
    let answer = Client::new(&args.node.urls).ask(&Method::PUT, "/", args.url.as_bytes())?;
    match answer.status {
        200 | 201 => Ok(answer.text()),
        _ => Err(Error::new(answer.problem())),
    }
}

/// Prints the URL that a key stands for.
pub(super) fn get(args: &GetArgs) -> Result<(), Error> {
    print(&format!("{}\n", get_url(args)?))
}

fn get_url(args: &GetArgs) -> Result<String, Error> {
    let key = key(&args.key);
    if key.is_empty() {
        return Err(Error::new("the key is empty: give one that `put` printed"));
    }
    let answer = Client::new(&args.node.urls).ask(&Method::GET, &path(key), &[])?;
    match (answer.status, answer.location.as_deref()) {
        (301 | 302 | 307 | 308, Some(url)) => Ok(url.to_string()),
        (404, _) => Err(Error::new(format!("there is no link {key}"))),
        (410, _) => Err(Error::new(format!("the link {key} is gone"))),
        (200, _) => Err(Error::new(format!("{key} is a page and no link"))),
        _ => Err(Error::new(answer.problem())),
    }
}

/// The key of a short link, which may be given whole, or as the path of the `Location` that a PUT
/// was answered with.
fn key(given: &str) -> &str {
    let is_url = given.starts_with("http://") || given.starts_with("https://");
    match given.rsplit_once('/') {
        Some((_, key)) if is_url => key,
        _ => given.strip_prefix('/').unwrap_or(given),
    }
}

/// A key as a path of one part, whatever is in it.
fn path(key: &str) -> String {
    let mut url = url::Url::parse("http://node/").expect("this is a URL");
    url.path_segments_mut().expect("http URLs have paths").pop_if_empty().push(key);
    url.path().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::args::NodeUrls;
    use super::super::testing::{self, Reply};
    use super::*;

    fn links() -> NodeUrls {
        let base = testing::serve(|asked| match asked.line.as_str() {
            "PUT /" if asked.body == b"https://a.example/" => Reply::new(201, "abcdefgh\n"),
            "PUT /" => Reply::new(400, r#"{"title":"Bad","detail":"the URL has no host"}"#),
            "GET /abcdefgh" => Reply::new(301, "").with("Location", "https://a.example/"),
            "GET /gonegone" => Reply::new(410, ""),
            _ => Reply::new(404, ""),
        });
        NodeUrls { urls: vec![base] }
    }

    #[test]
    fn put_gives_the_key_or_says_what_is_wrong() {
        let put = |url: &str| put_key(&PutArgs { url: url.into(), node: links() });
        assert_eq!(put("https://a.example/"), Ok("abcdefgh".into()));
        assert_eq!(put("https://"), Err(Error::new("the URL has no host")));
    }

    #[test]
    fn get_gives_the_url_or_says_that_there_is_none() {
        let get = |key: &str| get_url(&GetArgs { key: key.into(), node: links() });
        assert_eq!(get("abcdefgh"), Ok("https://a.example/".into()));
        assert_eq!(get("/abcdefgh"), Ok("https://a.example/".into()));
        assert_eq!(get("http://10.0.0.1:7070/abcdefgh"), Ok("https://a.example/".into()));
        assert!(get("").unwrap_err().to_string().contains("the key is empty"));
        assert_eq!(get("gonegone"), Err(Error::new("the link gonegone is gone")));
        assert_eq!(get("nonesuch"), Err(Error::new("there is no link nonesuch")));
    }

    #[test]
    fn any_key_is_one_part_of_a_path() {
        assert_eq!(path("a/b?c d#e"), "/a%2Fb%3Fc%20d%23e");
        assert_eq!(path("abcdefgh"), "/abcdefgh");
    }
}
