//! The API server: its version, and how far its clock is from this machine's.

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimeParser;
use kube::Client;
use kube::api::GetParams;
use kube::client::Body;
use kube::core::Request;

use super::super::finding::Finding;

/// Oldest minor version of Kubernetes 1 with everything that the chart installs (admission policies), and the oldest that
/// Muster is tried on.
const MINOR: (u32, u32) = (30, 34);
/// Seconds of skew that are a warning, and a failure. Tokens are checked without leeway.
const SKEW_S: (i64, i64) = (2, 30);

/// The version; the error is a finding that ends the examination.
pub(super) async fn version(client: &Client) -> Result<Finding, Finding> {
    match client.apiserver_version().await {
        Ok(info) => Ok(judge_version(&info.minor, &info.git_version)),
        Err(error) => {
            let advice = "look with `kubectl version`: is it the right context, is the network there?";
            Err(Finding::fail("API server", format!("it does not answer: {error}"), advice).more("api-server"))
        }
    }
}

/// Providers write minor versions such as `34+`.
fn judge_version(minor: &str, version: &str) -> Finding {
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let advice = "upgrade the cluster; Agones names the versions that it supports";
    let finding = match digits.parse::<u32>() {
        Ok(minor) if minor >= MINOR.1 => Finding::ok("API server", version),
        Ok(minor) if minor >= MINOR.0 => Finding::warn(
            "API server",
            format!("{version} is older than what Muster is tried on, 1.{}", MINOR.1),
            advice,
        ),
        _ => Finding::fail("API server", format!("{version} has no admission policies: 1.{} has", MINOR.0), advice),
    };
    finding.more("api-server")
}

/// The clocks.
pub(super) async fn clock(client: &Client) -> Finding {
    let asked = Timestamp::now();
    let date = match date(client).await {
        Ok(date) => date,
        Err(error) => {
            return Finding::warn(
                "clock",
                format!("the API server does not tell its time: {error}"),
                "look with `date`",
            )
            .more("clock");
        }
    };
    let answered = Timestamp::now();
    judge_clock(asked.as_second(), answered.as_second(), date.as_second())
}

async fn date(client: &Client) -> Result<Timestamp, String> {
    let request = Request::new("").get("version", &GetParams::default()).map_err(|error| error.to_string())?;
    let answer = client.send(request.map(Body::from)).await.map_err(|error| error.to_string())?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).ok_or("it sends no Date")?;
    DateTimeParser::new().parse_timestamp(date).map_err(|error| error.to_string())
}

/// The answer's whole second lies between question and answer if the clocks agree.
fn judge_clock(asked_s: i64, answered_s: i64, date_s: i64) -> Finding {
    let skew_s = if date_s < asked_s { date_s - asked_s } else { (date_s - answered_s).max(0) };
    let found = match skew_s {
        0 => "agrees with the API server's".to_owned(),
        skew => format!("{} s {} the API server's", skew.abs(), if skew < 0 { "ahead of" } else { "behind" }),
    };
    let advice =
        "set the clocks of machines and nodes by NTP (timedatectl set-ntp true): tokens and Leases live by them";
    let finding = match skew_s.abs() {
        skew if skew >= SKEW_S.1 => Finding::fail("clock", found, advice),
        skew if skew >= SKEW_S.0 => Finding::warn("clock", found, advice),
        _ => Finding::ok("clock", found),
    };
    finding.more("clock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn old_servers_and_wrong_clocks_are_found() {
        let version = |minor: &str| judge_version(minor, "v1.x").status;
        assert_eq!(
            [version("34"), version("35+"), version("33"), version("29"), version("")],
            [Status::Ok, Status::Ok, Status::Warn, Status::Fail, Status::Fail]
        );
        assert_eq!(judge_clock(100, 101, 100).status, Status::Ok);
        assert_eq!(judge_clock(100, 101, 99).status, Status::Ok, "its second has no fraction");
        let behind = judge_clock(100, 100, 110);
        assert_eq!((behind.status, behind.found.as_str()), (Status::Warn, "10 s behind the API server's"));
        let ahead = judge_clock(100, 100, 40);
        assert_eq!((ahead.status, ahead.found.as_str()), (Status::Fail, "60 s ahead of the API server's"));
    }
}
