//! Listings: the keys under a prefix as of one moment, however many they are.
//!
//! A short one is an answer like any other. A long one is made while it is sent, a slice at a time, so
//! that neither its size nor a slow reader costs memory.

use bytes::Bytes;

use super::super::query;
use super::super::reply::{Body, JSON, Problem, Response, TEXT, Value};
use super::super::rows::PrefixScan;
use super::super::service::Service;
use super::super::step::Step;
use super::super::stream::{Piece, Source, Stream};
use super::super::wire::Request;
use super::entries::{Context, Detail, push_json};
use super::fresh::{self, Reading};
use super::{detail, standing, unreadable};
use crate::escapes;
use crate::ids::Ticket;
use crate::node::StoreError;
use crate::node::View;

/// JSON, one a line.
const JSON_LINES: &str = "application/jsonl";
/// Keys of one slice, whether they are told or not.
const SLICE_ROWS: usize = 512;
/// Bytes of keys and values after which a slice ends.
const SLICE_BYTES: usize = 40 * 1024;

/// How keys are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An array.
    Json,
    /// An object or string a line.
    Lines,
    /// A key a line.
    Text,
}

impl Form {
    /// `?format=`, or what the client prefers to JSON by naming it in `Accept`.
    fn of(request: &Request) -> Result<Self, Problem> {
        match query::value(request.query(), "format").as_deref() {
            Some("json") => Ok(Self::Json),
            Some("jsonl") => Ok(Self::Lines),
            Some("text") => Ok(Self::Text),
            Some(_) => Err(Problem::new(400, "format is json, jsonl or text")),
            None => {
                let accept = request.header("Accept").unwrap_or_default();
                let first = accept.split(|byte| b",;".contains(byte)).next().unwrap_or_default();
                Ok(if first.trim_ascii() == b"text/plain" { Self::Text } else { Self::Json })
            }
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Lines => JSON_LINES,
            Self::Text => TEXT,
        }
    }
}

#[derive(Debug)]
struct List {
    prefix: Bytes,
    form: Form,
    detail: Detail,
}

/// Answers `GET /api/kv`.
pub(super) fn start(service: &Service, request: &Request, prefix: Bytes) -> Result<Step, Problem> {
    let list = List { prefix, form: Form::of(request)?, detail: detail(request) };
    Ok(fresh::read(service, request, Box::new(list)))
}

impl Reading for List {
    fn read(self: Box<Self>, _: &Service, view: &View) -> Step {
        match begin(*self, view) {
            Ok(response) => response.into(),
            Err(error) => unreadable(&error).into(),
        }
    }
}

fn begin(list: List, view: &View) -> Result<Response, StoreError> {
    let (kv, context) = standing(view)?;
    let scan = PrefixScan::new(view.clone(), list.prefix.clone());
    let mut listing = Listing { scan, list, context, written: 0, ended: false };
    let form = listing.list.form;
    let first = listing.slice()?;
    let body = if listing.ended {
        Body::Bytes(first)
    } else {
        Body::Stream(Stream::new(Rest { first: Some(first), listing }))
    };
    let response = Response { content_type: form.content_type(), body, ..Response::new(200) };
    Ok(response
        .header("X-Bowline-Revision", Value::Number(kv.store_index()))
        .with("Cache-Control", "no-cache"))
}

/// A listing that has come so far.
struct Listing {
    scan: PrefixScan<View>,
    list: List,
    context: Context,
    /// Keys so far.
    written: u64,
    ended: bool,
}

impl Listing {
    fn slice(&mut self) -> Result<Bytes, StoreError> {
        let Self { scan, list: List { form, detail, .. }, context, written, ended } = self;
        let mut out = Vec::with_capacity(2 * SLICE_BYTES);
        *ended = scan.slice(SLICE_ROWS, SLICE_BYTES, &mut |entry| {
            match (*form, *written) {
                (Form::Json, 0) => out.extend_from_slice(b"[\n"),
                (Form::Json, _) => out.extend_from_slice(b",\n"),
                (Form::Lines | Form::Text, _) => {}
            }
            *written += 1;
            match form {
                Form::Json => push_json(&mut out, &entry, context, *detail),
                Form::Lines => {
                    push_json(&mut out, &entry, context, *detail);
                    out.push(b'\n');
                }
                Form::Text => {
                    out.extend_from_slice(escapes::path(&entry.key).as_bytes());
                    out.push(b'\n');
                }
            }
        })?;
        if *ended && *form == Form::Json {
            out.extend_from_slice(if *written == 0 { b"[]\n" } else { b"\n]\n" });
        }
        Ok(out.into())
    }
}

/// The rest of a listing whose first slice was not all.
struct Rest {
    first: Option<Bytes>,
    listing: Listing,
}

impl Source for Rest {
    fn next(&mut self, _: Ticket) -> Piece {
        if let Some(first) = self.first.take() {
            return Piece::Data(first);
        }
        if self.listing.ended {
            return Piece::End;
        }
        match self.listing.slice() {
            Ok(bytes) => Piece::Data(bytes),
            Err(error) => {
                log::error!("a listing breaks off, the key-value store cannot be read: {error}");
                Piece::Broken
            }
        }
    }
}
