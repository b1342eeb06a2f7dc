//! The operators' pages, embedded in the program: plain HTML, CSS and JavaScript that call this port with the operator's token.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::app::App;

/// Path, content type and content of every file.
const FILES: &[(&str, &str, &str)] = &[
    ("/ui", "text/html; charset=utf-8", include_str!("assets/page.html")),
    ("/ui/page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("/ui/page.js", SCRIPT, include_str!("assets/page.js")),
    ("/ui/player.js", SCRIPT, include_str!("assets/player.js")),
    ("/ui/lists.js", SCRIPT, include_str!("assets/lists.js")),
    ("/ui/dom.js", SCRIPT, include_str!("assets/dom.js")),
    ("/ui/api.js", SCRIPT, include_str!("assets/api.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but this program's own files, and nobody may frame them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<App> {
    let mut routes = Router::new().route("/ui/", get(async || Redirect::permanent("/ui")));
    for (path, kind, content) in FILES {
        routes = routes.route(path, get(async || file(kind, content)));
    }
    routes
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_free_of_what_the_policy_forbids_and_of_what_would_run_a_players_name() {
        for (name, _, text) in FILES {
            testkit::page::assert_harmless(name, text);
            assert!(!text.contains("<script>"), "{name} has a script in its text");
        }
    }

    #[test]
    fn every_import_is_served() {
        let mut imports = 0;
        for (name, _, text) in FILES {
            for wanted in text.lines().filter_map(|line| line.strip_prefix("import ")?.split('"').nth(1)) {
                imports += 1;
                assert!(FILES.iter().any(|(path, ..)| *path == wanted), "{name} imports {wanted}");
            }
        }
        assert!(imports > 4, "{imports}");
    }
}
