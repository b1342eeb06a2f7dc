//! What a check found, and how that is printed.

use serde::Serialize;

/// Narrowest and widest column of checks.
const CHECK_CHARS: (usize, usize) = (21, 40);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it must be.
    Ok,
    /// It works, and may not for long or not for many.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: String,
    /// How it came out.
    pub(crate) status: Status,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; empty when all is well.
    pub(crate) advice: String,
    /// Section of the book that says more; empty where none does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) more: String,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            status: Status::Ok,
            found: found.into(),
            advice: String::new(),
            more: String::new(),
        }
    }

    /// It works, but.
    pub(crate) fn warn(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            status: Status::Warn,
            found: found.into(),
            advice: advice.into(),
            more: String::new(),
        }
    }

    /// It does not work.
    pub(crate) fn fail(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            status: Status::Fail,
            found: found.into(),
            advice: advice.into(),
            more: String::new(),
        }
    }
}

impl Finding {
    /// Names the section of the book's page on the doctor that says more.
    pub(crate) fn more(mut self, section: &str) -> Self {
        self.more = format!("kubernetes/doctor.md#{section}");
        self
    }
}

/// One line per check, and a verdict.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.check.chars().count() + 2).max().unwrap_or(0);
    let width = width.clamp(CHECK_CHARS.0, CHECK_CHARS.1);
    for finding in findings {
        let status = match finding.status {
            Status::Ok => "ok  ",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        text.push_str(&format!("{status}  {:<width$} {}", finding.check, one_line(&finding.found)));
        if !finding.advice.is_empty() {
            text.push_str(&format!(". To do: {}", one_line(&finding.advice)));
        }
        if !finding.more.is_empty() && finding.status != Status::Ok {
            text.push_str(&format!(" (the book's {})", finding.more));
        }
        text.push('\n');
    }
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    text.push_str(&match (count(Status::Fail), count(Status::Warn)) {
        (0, 0) => "Everything is as it should be.\n".to_owned(),
        (0, warnings) => format!("It works; {warnings} to look at.\n"),
        (failures, warnings) => format!("{failures} failed, {warnings} to look at.\n"),
    });
    text
}

/// The same as one JSON object.
pub(crate) fn json(findings: &[Finding]) -> String {
    let healthy = findings.iter().all(|finding| finding.status != Status::Fail);
    serde_json::json!({ "healthy": healthy, "checks": findings }).to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_with_what_to_do() {
        let findings = [Finding::ok("a", "fine"), Finding::fail("b", "two\nlines", "mend it")];
        let text = text(&findings);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("two lines. To do: mend it") && text.ends_with("1 failed, 0 to look at.\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).expect("JSON");
        assert_eq!((json["healthy"].as_bool(), json["checks"][1]["status"].as_str()), (Some(false), Some("fail")));
    }
}
