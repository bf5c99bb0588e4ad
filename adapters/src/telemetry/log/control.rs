//! The filter of the log, which may be changed while the service runs: a defect is looked into without
//! a restart that would hide it. What is set so ends with the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The longest filter, in bytes: a directive for each module has a third of it.
pub const MAX_FILTER: usize = 4 * 1024;

/// Why a text is no filter.
#[derive(Debug, Error)]
pub enum FilterError {
    /// It is not understood.
    #[error("the log filter is not understood: {0}: say info, or florin_adapters=debug,http=warn")]
    Syntax(#[from] ParseError),
    /// A word that is no level would be taken for the only module that is logged.
    #[error(
        "{0:?} is no level: say off, error, warn, info, debug or trace, or {0}=debug of a module"
    )]
    NoLevel(String),
    /// There is no log any more.
    #[error("the log is gone: {0}")]
    Gone(#[from] reload::Error),
}

/// A filter, if the text is one.
pub(super) fn parsed(text: &str) -> Result<EnvFilter, FilterError> {
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err() {
            return Err(FilterError::NoLevel(word.to_owned()));
        }
    }
    Ok(EnvFilter::try_new(text)?)
}

/// What changes the filter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    filter: Arc<Mutex<String>>,
}

impl LogControl {
    pub(super) fn new(handle: reload::Handle<EnvFilter, Registry>, filter: &str) -> Self {
        Self { handle, filter: Arc::new(Mutex::new(filter.to_owned())) }
    }

    /// What passes now.
    pub fn filter(&self) -> String {
        self.text().clone()
    }

    /// Lets something else pass from now on.
    ///
    /// # Errors
    /// [`FilterError`], by name; then it stays as it was.
    pub fn set(&self, filter: &str) -> Result<(), FilterError> {
        let parsed = parsed(filter)?;
        // Held to the end, so that of two changes the text is that of the later one.
        let mut text = self.text();
        self.handle.reload(parsed)?;
        filter.clone_into(&mut text);
        Ok(())
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET` and `PUT /log-filter`, as plain text: for a port that operators alone reach.
pub fn routes(control: LogControl) -> Router {
    Router::new()
        .route("/log-filter", get(show).put(change))
        .layer(DefaultBodyLimit::max(MAX_FILTER))
        .with_state(control)
}

async fn show(State(control): State<LogControl>) -> String {
    control.filter()
}

async fn change(
    State(control): State<LogControl>,
    filter: String,
) -> Result<String, (StatusCode, String)> {
    let (before, filter) = (control.filter(), filter.trim());
    match control.set(filter) {
        Ok(()) => {
            tracing::warn!(before, filter, "what is logged was changed");
            Ok(control.filter())
        }
        Err(error @ (FilterError::Syntax(_) | FilterError::NoLevel(_))) => {
            Err((StatusCode::BAD_REQUEST, error.to_string()))
        }
        Err(error @ FilterError::Gone(_)) => {
            Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request};
    use tower::ServiceExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What was logged, as text.
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn call(routes: &Router, method: Method, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri("/log-filter");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = routes.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), MAX_FILTER).await.unwrap();
        (status, String::from_utf8(bytes.into()).unwrap())
    }

    #[tokio::test]
    async fn what_is_logged_is_changed_while_the_service_runs() {
        let (filter, handle) = reload::Layer::new(parsed("info").unwrap());
        let routes = routes(LogControl::new(handle, "info"));
        let text = Text::default();
        let writer = text.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let _log = tracing::subscriber::set_default(Registry::default().with(filter).with(layer));
        let logged = || String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
        tracing::debug!("the first");
        assert_eq!(call(&routes, Method::GET, "").await, (200, "info".to_owned()));
        assert_eq!(call(&routes, Method::PUT, "debug\n").await, (200, "debug".to_owned()));
        tracing::debug!("the second");
        assert_eq!(call(&routes, Method::GET, "").await.1, "debug");
        assert!(!logged().contains("the first") && logged().contains("the second"), "{}", logged());
        assert!(logged().contains("what is logged was changed"), "{}", logged());
    }

    #[tokio::test]
    async fn what_is_no_filter_changes_nothing_and_says_what_is_one() {
        let (filter, handle) = reload::Layer::new(parsed("info").unwrap());
        let routes = routes(LogControl::new(handle, "info"));
        for bad in ["inof", "debug,htpp", "a=b=c"] {
            let (status, why) = call(&routes, Method::PUT, bad).await;
            assert!(status == 400 && why.contains("say "), "{bad}: {status} {why}");
        }
        let long = "a".repeat(MAX_FILTER + 1);
        assert_eq!(call(&routes, Method::PUT, &long).await.0, 413);
        assert_eq!(call(&routes, Method::GET, "").await.1, "info");
        drop(filter);
        assert_eq!(call(&routes, Method::PUT, "debug").await.0, 503);
    }

    #[test]
    fn levels_and_modules_are_filters() {
        for good in ["info", "", "off", "info,http=warn", "florin_adapters=debug", "WARN"] {
            assert!(parsed(good).is_ok(), "{good}");
        }
    }
}
