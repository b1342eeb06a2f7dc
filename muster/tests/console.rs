//! The console in a real browser, over a running platform on which bots play.

mod browser;
mod common;

use browser::Browser;
use common::{Running, free_port_pair, muster};
use serde_json::Value;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const LEFT: &str = "\u{e012}";

/// A platform whose queue has these lines changed; the URLs of its API and of its console.
fn up(data: &std::path::Path, changes: &[&str]) -> (Running, String, String) {
    let queues = data.join("queues.toml");
    let changed = |line: &str| {
        let is_meant = |change: &&&str| line.split(" =").next() == change.split(" =").next();
        changes.iter().find(is_meant).map_or_else(|| line.to_owned(), |change| (*change).to_owned())
    };
    let built_in: Vec<String> = include_str!("../queues.toml").lines().map(changed).collect();
    std::fs::write(&queues, built_in.join("\n")).expect("write");
    let (api, console) = (free_port_pair(), free_port_pair());
    let mut command = muster();
    command.arg("up").arg("--data").arg(data).arg("--queues").arg(queues).arg("--drain-seconds=40");
    command.args([format!("--listen=127.0.0.1:{api}"), format!("--console-listen=127.0.0.1:{console}")]);
    command.arg(format!("--allocator-listen=127.0.0.1:{}", free_port_pair()));
    command.arg(format!("--matchmaker-listen=127.0.0.1:{}", free_port_pair()));
    let platform = Running::start(&mut command);
    testkit::wait::until_blocking("the console", || std::net::TcpStream::connect(("127.0.0.1", console)).ok());
    (platform, format!("http://127.0.0.1:{api}"), format!("http://127.0.0.1:{console}"))
}

fn bots(api: &str) -> Running {
    Running::start(muster().args(["bots", "--players=16", "--seconds=600", "--seed=11", "--url", api]))
}

/// Waits for a text of an element to be a number above zero.
async fn positive(browser: &Browser, id: &str) {
    let script = format!("return parseInt(document.getElementById('{id}').textContent) > 0");
    browser.until(&format!("a number in {id}"), &script).await;
}

async fn overview(browser: &Browser, console: &str) {
    browser.open(console).await;
    for tile in ["t-servers", "t-players", "t-matches"] {
        positive(browser, tile).await;
    }
    browser.until("the queue", "return document.querySelector('#queues')?.innerText.includes('arena-4v4')").await;
    browser.until("a linked server", "return document.querySelector('#fleet')?.innerText.includes('linked')").await;
    browser
        .until(
            "six plots of the platform and two of the queue, with lines or layers",
            "return [...document.querySelectorAll('.plot')].filter(p => p.querySelector('path')).length === 8",
        )
        .await;
    browser.until("ticks in time", "return /\\d/.test(document.getElementById('t-tick').textContent)").await;
    // A plot tells the values of another moment by keyboard.
    browser.script("document.querySelector('.plot svg').focus()").await;
    browser.press(&[LEFT, LEFT]).await;
    browser.until("the cursor", "return document.querySelector('.plot .cursor') !== null").await;
    let spoken = browser.script("return document.querySelector('.plot svg').getAttribute('aria-label')").await;
    assert!(spoken.as_str().is_some_and(|text| text.starts_with("Players in players: in matches ")), "{spoken}");
}

/// Follows the match until its result is there; returns its id.
async fn one_match(browser: &Browser) -> String {
    browser.click("#running a").await;
    browser
        .until("the live view", "return document.getElementById('field-caption').textContent.startsWith('Live · tick')")
        .await;
    let id = browser.script("return location.pathname.split('/').pop()").await;
    browser.until("every player", "return document.querySelectorAll('#players tbody tr').length === 8").await;
    browser.until("names", "return document.querySelector('#players').innerText.includes('Bot ')").await;
    browser.until("round-trip times", "return [...document.querySelectorAll('#players td[data-label=RTT]')].some(c => parseFloat(c.textContent) > 0)").await;
    browser.until("both teams' scores", "return document.querySelectorAll('#scores .team').length === 2").await;
    // Floor, walls, two teams, names: a field that nothing is drawn on has one colour.
    let colours = "const c = document.getElementById('field'); const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const s = new Set(); for (let i = 0; i < p.length; i += 4) s.add(p[i] << 16 | p[i+1] << 8 | p[i+2]); return s.size > 8";
    browser.until("a drawn match", colours).await;
    browser.until("the result", "return document.querySelectorAll('#result tbody tr').length === 8").await;
    let events = browser.script("return document.getElementById('events').innerText").await;
    for event in ["Joinable", "First tick", "Ended", "Result booked"] {
        assert!(events.as_str().is_some_and(|text| text.contains(event)), "{event} in {events}");
    }
    id.as_str().expect("an id").to_owned()
}

async fn every_page_fits(browser: &Browser, console: &str, match_id: &str) {
    for (width, height, scheme) in [(320, 640, "light"), (360, 740, "dark"), (768, 1024, "dark"), (1280, 800, "light")]
    {
        browser.screen(width, height, scheme).await;
        for page in ["/", "/matches", &format!("/matches/{match_id}")] {
            browser.open(&format!("{console}{page}")).await;
            browser
                .until("the connection", "return document.getElementById('status-text').textContent === 'Live'")
                .await;
            let over = browser.script("return document.documentElement.scrollWidth - window.innerWidth").await;
            assert!(over.as_i64() <= Some(0), "{page} is {over} pixels too wide on {width}");
            let ground = "const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
                return r + g + b < 384 ? 'dark' : 'light'";
            assert_eq!(browser.script(ground).await, scheme, "{page}");
        }
    }
}

#[tokio::test]
async fn a_visitor_clicks_through_the_console_of_a_running_platform() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (platform, api, console) = up(folder.path(), &["seconds = 12"]);
    let bots = bots(&api);
    let browser = Browser::start().await;

    overview(&browser, &console).await;
    let match_id = one_match(&browser).await;
    browser.click("nav a[href='/matches']").await;
    let listed = format!("return document.querySelector('#recent a[href=\"/matches/{match_id}\"]') !== null");
    browser.until("the match among those that are over", &listed).await;

    // The first stop of the keyboard leads past the navigation.
    browser.open(&console).await;
    browser.press(&[TAB]).await;
    assert_eq!(browser.script("return document.activeElement.className").await, "skip");
    browser.press(&[ENTER]).await;
    browser.until("the focus on the content", "return document.activeElement.id === 'main'").await;
    // A page that is loaded again shows the past: more than the seconds since it was loaded.
    browser
        .until("the past", "return document.querySelector('.plot path.line')?.getAttribute('d').split('L').length > 10")
        .await;

    every_page_fits(&browser, &console, &match_id).await;
    browser.open(&format!("{console}/matches/01a1fde9-0995-7f4d-b336-a2d5d490f5c4")).await;
    browser.until("the missing match", "return document.getElementById('missing').checkVisibility()").await;
    let errors = browser.errors().await;
    let unexpected: Vec<&String> = errors.iter().filter(|error| !error.contains("404")).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    bots.kill();
    platform.terminate();
    assert!(platform.finish(std::time::Duration::from_secs(90)).status.success());
}

/// Presses Tab until the focus is where `script` says, as somebody without a mouse does.
async fn tab_to(browser: &Browser, what: &str, script: &str) {
    for _ in 0..40 {
        browser.press(&[TAB]).await;
        if browser.script(&format!("return document.activeElement.matches('{script}')")).await == true {
            let ring = "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2";
            assert_eq!(browser.script(ring).await, true, "the focus on {what} can be seen");
            return;
        }
    }
    panic!("no way to {what} by keyboard");
}

/// Kills one game server of the platform that runs the match, as a crash does.
fn kill_the_server_of(console: &Value, platform: &Running, match_id: &str) {
    let running = console["running"].as_array().expect("a list");
    let server = running.iter().find(|row| row["match_id"] == match_id).expect("it runs")["server"].clone();
    let name = server.as_str().expect("a name").to_owned();
    let of_this_name = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        [environment, arguments].iter().any(|bytes| String::from_utf8_lossy(bytes).contains(&name))
    };
    let pid = common::children(platform.id()).into_iter().find(of_this_name).expect("a process of this name");
    let killed = std::process::Command::new("kill").arg("-KILL").arg(pid.to_string()).status().expect("kill runs");
    assert!(killed.success());
}

#[tokio::test]
async fn by_keyboard_alone_into_a_live_match_whose_server_dies_while_the_console_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (platform, api, console) = up(folder.path(), &["seconds = 600"]);
    let bots = bots(&api);
    let browser = Browser::start().await;
    browser.screen(360, 740, "dark").await;
    browser.open(&console).await;
    browser.until("a running match", "return document.querySelector('#running a') !== null").await;
    tab_to(&browser, "a running match", "#running a").await;
    browser.press(&[ENTER]).await;
    let live = "return document.getElementById('field-caption')?.textContent.startsWith('Live · tick')";
    browser.until("the live view", live).await;
    let id = browser.script("return location.pathname.split('/').pop()").await;
    let id = id.as_str().expect("an id").to_owned();

    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let list = http.get(format!("{console}/api/matches")).send().await.expect("an answer");
    kill_the_server_of(&list.json().await.expect("JSON"), &platform, &id);
    browser.until("the lost match", "return document.getElementById('state').textContent === 'lost'").await;
    let caption = "return document.getElementById('field-caption').textContent.startsWith('The match is lost')";
    browser.until("that the view is old", caption).await;
    browser.until("it is marked", "return document.getElementById('live-part').classList.contains('stale')").await;
    let over = browser.script("return document.documentElement.scrollWidth - window.innerWidth").await;
    assert!(over.as_i64() <= Some(0), "{over} pixels too wide");

    // The console is as alive as before, and shows matches on other servers.
    browser.open(&console).await;
    browser
        .until("the loss", "return /^[1-9]\\d* lost$/.test(document.getElementById('t-results-under').textContent)")
        .await;
    browser.until("new matches", "return document.querySelector('#running a') !== null").await;
    assert_eq!(browser.script("return document.getElementById('status-text').textContent").await, "Live");

    // When the platform itself dies, what is shown is marked as old, in the tab's title too.
    bots.kill();
    platform.kill();
    browser
        .until("the banner", "return document.getElementById('banner').textContent.includes('does not answer since')")
        .await;
    browser.until("old figures", "return document.querySelector('.tiles').classList.contains('stale')").await;
    browser.until("the title", "return document.title === '⚠ Overview · Muster'").await;
}

/// Signs a player of this name in and queues it.
async fn queued(http: &reqwest::Client, api: &str, device: u8, name: &str) {
    let body = serde_json::json!({ "device_id": format!("00112233445566778899aabbccddee{device:02x}"), "name": name });
    let login = http.post(format!("{api}/v1/auth/device")).json(&body).send().await.expect("an answer");
    let login: Value = login.json().await.expect("JSON");
    let token = login["access_token"].as_str().unwrap_or_else(|| panic!("no token: {login}")).to_owned();
    let ticket = serde_json::json!({
        "ticket_id": format!("01a1fe9d-0995-7f4d-b336-a2d5d490f5{device:02x}"), "queue": "arena-4v4",
        "region_rtts": [{ "region": "local", "rtt_ms": 1 }],
    });
    let ticket =
        http.post(format!("{api}/v1/tickets")).bearer_auth(token).json(&ticket).send().await.expect("an answer");
    assert!(ticket.status().is_success(), "{}", ticket.text().await.expect("text"));
}

#[tokio::test]
async fn a_player_whose_name_is_markup_is_shown_by_that_name() {
    const EVIL: &str = "<img src=x onerror=alert(1)>";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (platform, api, console) = up(folder.path(), &["players_per_team = 1", "party_size_max = 1"]);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    queued(&http, &api, 1, EVIL).await;
    queued(&http, &api, 2, "\"'></td><script>alert(2)").await;
    let browser = Browser::start().await;
    browser.open(&console).await;
    browser.until("the match", "return document.querySelector('#running a') !== null").await;
    browser.click("#running a").await;
    let names = "return document.querySelector('#players')?.innerText ?? ''";
    browser.until("two players", "return document.querySelectorAll('#players tbody tr').length === 2").await;
    let names = browser.script(names).await;
    assert!(names.as_str().is_some_and(|names| names.contains(EVIL) && names.contains("<script>")), "{names}");
    let made = browser.script("return document.querySelectorAll('main img, main script, main td td').length").await;
    assert_eq!(made, 0, "nothing was made of it");
    let errors = browser.errors().await;
    assert!(errors.is_empty(), "{errors:?}");
    platform.kill();
}

#[tokio::test]
async fn strangers_and_foreign_pages_reach_nothing_through_the_console() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (platform, _, console) = up(folder.path(), &["seconds = 12"]);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = |path: &str| http.get(format!("{console}{path}"));

    let page = get("/").send().await.expect("an answer");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let foreign = get("/api/overview").header("host", "evil.example:7130").send().await.expect("an answer");
    assert_eq!(foreign.status(), 421, "a name that somebody points at this machine");
    for path in [
        "/api/matches/..%2Fstats",
        "/api/matches/x/live",
        "/metrics",
        "/api/matches/01a1fde9-0995-7f4d-b336-a2d5d490f5c4/live",
    ] {
        assert_eq!(get(path).send().await.expect("an answer").status(), 404, "{path}");
    }
    assert_eq!(http.post(format!("{console}/api/overview")).send().await.expect("an answer").status(), 405);
    let history: Value = get("/api/history").send().await.expect("an answer").json().await.expect("JSON");
    assert!(history["names"].as_array().is_some_and(|names| !names.is_empty()), "{history}");
    platform.kill();
}
