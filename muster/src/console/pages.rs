//! The pages and their files, embedded in the program; and what holds for every answer: headers, bounds, who may ask.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::state::State;

const LAYOUT: &str = include_str!("assets/layout.html");

/// Name, content type and content of every file.
const FILES: &[(&str, &str, &str)] = &[
    ("/console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("/favicon.svg", "image/svg+xml", include_str!("assets/favicon.svg")),
    ("/format.js", SCRIPT, include_str!("assets/format.js")),
    ("/table.js", SCRIPT, include_str!("assets/table.js")),
    ("/plot.js", SCRIPT, include_str!("assets/plot.js")),
    ("/status.js", SCRIPT, include_str!("assets/status.js")),
    ("/stream.js", SCRIPT, include_str!("assets/stream.js")),
    ("/queueplots.js", SCRIPT, include_str!("assets/queueplots.js")),
    ("/missing.js", SCRIPT, include_str!("assets/missing.js")),
    ("/rows.js", SCRIPT, include_str!("assets/rows.js")),
    ("/field.js", SCRIPT, include_str!("assets/field.js")),
    ("/overview.js", SCRIPT, include_str!("assets/overview.js")),
    ("/matches.js", SCRIPT, include_str!("assets/matches.js")),
    ("/match.js", SCRIPT, include_str!("assets/match.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but this program's own files, and nobody may frame them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Pages and files.
pub(super) fn routes() -> Router<Arc<State>> {
    let overview = page("Overview", "overview", include_str!("assets/overview.html"));
    let matches = page("Matches", "matches", include_str!("assets/matches.html"));
    let one = page("Match", "match", include_str!("assets/match.html"));
    let missing = page("No such page", "missing", include_str!("assets/missing.html"));
    let mut routes = Router::new()
        .fallback(|| async { (StatusCode::NOT_FOUND, Html(missing)) })
        .route("/", get(|| async { Html(overview) }))
        .route("/matches", get(|| async { Html(matches) }))
        .route("/matches/{id}", get(|| async { Html(one) }));
    for (path, kind, content) in FILES {
        let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")];
        routes = routes.route(path, get(move || async move { (headers, *content) }));
    }
    routes
}

/// A page: its part within the layout that all share.
fn page(title: &str, name: &str, main: &str) -> String {
    let here = |link: &str| if link == name { " aria-current=\"page\"" } else { "" };
    LAYOUT
        .replace("{{title}}", title)
        .replace("{{script}}", &format!("/{name}.js"))
        .replace("{{overview}}", here("overview"))
        .replace("{{matches}}", here("matches"))
        .replace("{{main}}", main)
}

/// Puts the bounds and headers around `routes`.
pub(super) fn guarded(routes: Router<Arc<State>>, state: Arc<State>) -> Router {
    routes.layer(middleware::from_fn_with_state(Arc::clone(&state), guard)).with_state(state)
}

async fn guard(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let mut answer = if !is_by_address(request.headers()) {
        let text = "reach the console by its address or as localhost\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    } else if let Ok(_place) = state.requests.try_acquire() {
        next.run(request).await
    } else {
        super::api::busy()
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Whether the request names the console by an IP address or as localhost. A page of somebody else can point a host
/// name of its own at this machine (DNS rebinding) and would then read what a visitor's browser may read.
fn is_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_whole_and_marks_where_the_visitor_is() {
        let page = page("Matches", "matches", "<p>here</p>");
        assert!(page.contains("<title>Matches · Muster</title>") && page.contains("<p>here</p>"), "{page}");
        assert!(
            page.contains("href=\"/matches\" aria-current=\"page\"") && page.contains("src=\"/matches.js\""),
            "{page}"
        );
        assert!(!page.contains("{{"), "{page}");
    }

    #[test]
    fn every_embedded_file_is_free_of_what_the_policy_forbids() {
        let parts = ["assets/overview.html", "assets/matches.html", "assets/match.html", "assets/missing.html"];
        let pages = [
            include_str!("assets/overview.html"),
            include_str!("assets/matches.html"),
            include_str!("assets/match.html"),
            include_str!("assets/missing.html"),
        ];
        let all = FILES.iter().map(|(name, _, text)| (*name, *text)).chain(parts.into_iter().zip(pages));
        for (name, text) in all.chain([("layout", LAYOUT)]) {
            testkit::page::assert_harmless(name, text);
        }
    }

    #[test]
    fn every_import_of_a_script_is_served() {
        let imports = FILES.iter().flat_map(|(name, _, text)| {
            text.lines().filter_map(move |line| Some((name, line.strip_prefix("import ")?.split('"').nth(1)?)))
        });
        let imports: Vec<_> = imports.collect();
        assert!(imports.len() > 10, "{imports:?}");
        for (name, wanted) in imports {
            assert!(FILES.iter().any(|(path, ..)| *path == wanted), "{name} imports {wanted}");
        }
    }

    #[test]
    fn a_foreign_host_name_is_turned_away() {
        let by = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a value"));
            is_by_address(&headers)
        };
        assert!(by("127.0.0.1:7130") && by("localhost:7130") && by("[::1]:7130") && by("10.0.0.7"));
        assert!(!by("evil.example:7130") && !by("localhost.evil.example") && !is_by_address(&HeaderMap::new()));
    }
}
