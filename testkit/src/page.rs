//! What no page of Muster may contain: its content security policy would stop it, or it would run a player's name.

const FORBIDDEN: [&str; 14] = [
    "https://",
    "http://",
    " style=\"",
    "onclick=",
    "onerror=",
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "srcdoc",
    "eval(",
    "new Function",
    "localStorage",
    "document.cookie",
];

/// Looks through a page, a style or a script.
///
/// # Panics
/// If there is something of it in `text`; says what, and `name`.
pub fn assert_harmless(name: &str, text: &str) {
    // The name of a language, which nobody fetches.
    let text = text.replace("http://www.w3.org/2000/svg", "");
    for forbidden in FORBIDDEN {
        assert!(!text.contains(forbidden), "{name} has {forbidden}");
    }
}
