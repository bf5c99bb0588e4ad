//! Which of several media types an answer has: what `format` says, or what `Accept` (RFC 9110) likes
//! best of them.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use headers_accept::Accept;
use mediatype::names::{APPLICATION, CHARSET, CSV, HTML, JSON, TEXT};
use mediatype::values::UTF_8;
use mediatype::{MediaType, Name, Value};

use super::code::Code;
use super::problem::Problem;

/// A way to write an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
    /// For people, to be printed.
    Html,
}

const UTF8: &[(Name<'static>, Value<'static>)] = &[(CHARSET, UTF_8)];

/// Of those that are liked as much, the first is given. All are UTF-8, whether a client asks for that
/// or not.
static FORMATS: [(&str, Format, MediaType<'static>); 6] = [
    ("json", Format::Json, MediaType::new(APPLICATION, JSON)),
    ("csv", Format::Csv, MediaType::new(TEXT, CSV)),
    ("html", Format::Html, MediaType::new(TEXT, HTML)),
    ("json", Format::Json, MediaType::from_parts(APPLICATION, JSON, None, UTF8)),
    ("csv", Format::Csv, MediaType::from_parts(TEXT, CSV, None, UTF8)),
    ("html", Format::Html, MediaType::from_parts(TEXT, HTML, None, UTF8)),
];

/// The format by name, or by what the client accepts; JSON if it does not say.
pub(super) fn format(named: Option<&str>, headers: &HeaderMap) -> Result<Format, Problem> {
    if let Some(name) = named {
        let found = FORMATS.iter().find(|(known, _, _)| *known == name);
        return found.map(|(_, format, _)| *format).ok_or_else(not_acceptable);
    }
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    // A charset has no case, and is compared as if it had one.
    let accepted = values.collect::<Vec<_>>().join(", ").replace("utf-8", "UTF-8");
    if accepted.is_empty() {
        return Ok(Format::Json);
    }
    let accept: Accept = accepted.parse().map_err(|_| not_acceptable())?;
    let liked = accept.negotiate(FORMATS.iter().map(|(_, _, kind)| kind));
    let found = FORMATS.iter().find(|(_, _, kind)| Some(kind) == liked);
    found.map(|(_, format, _)| *format).ok_or_else(not_acceptable)
}

fn not_acceptable() -> Problem {
    Problem::new(
        Code::NotAcceptable,
        "This is written as application/json, text/csv or text/html: accept one of them, or say \
         `format=json`, `csv` or `html`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(named: Option<&str>, accept: &[&str]) -> Result<Format, Code> {
        let headers = accept.iter().map(|value| (ACCEPT, value.parse().unwrap())).collect();
        format(named, &headers).map_err(|problem| problem.code)
    }

    #[test]
    fn an_answer_is_as_the_client_likes_it_best() {
        for (accept, expected) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("application/json", Format::Json),
            ("text/csv", Format::Csv),
            ("TEXT/CSV", Format::Csv),
            ("text/csv; charset=utf-8", Format::Csv),
            ("application/json;charset=UTF-8", Format::Json),
            ("text/html, text/csv", Format::Html),
            ("text/csv;q=0.9, text/html;q=0.8", Format::Csv),
            ("application/json;q=0, */*;q=0.1", Format::Csv),
            // As a browser says it.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
        ] {
            assert_eq!(of(None, &[accept]), Ok(expected), "{accept}");
        }
        assert_eq!(of(None, &["application/pdf", "text/csv"]), Ok(Format::Csv));
        assert_eq!(of(None, &[]), Ok(Format::Json));
    }

    #[test]
    fn a_named_format_is_given_whatever_is_accepted() {
        assert_eq!(of(Some("html"), &["application/json"]), Ok(Format::Html));
        for name in ["pdf", "", "JSON"] {
            assert_eq!(of(Some(name), &["application/json"]), Err(Code::NotAcceptable), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_acceptable() {
        for accept in ["application/pdf", "image/*", "text/plain", "text/html;q=0", "nonsense"] {
            assert_eq!(of(None, &[accept]), Err(Code::NotAcceptable), "{accept}");
        }
    }
}
