//! The page in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use vmm_tests::command::{Folder, skip};
use vmm_tests::experiment::{collapse, overcommit};

use super::page;

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders = std::env::split_paths(&path);
    folders.find_map(|folder| {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file())
    })
}

/// Runs the browser on `page` with a profile of its own, and returns both its outputs.
fn browse(browser: &Path, folder: &Folder, page: &Path, options: &[String]) -> (String, String) {
    let profile = format!("--user-data-dir={}", folder.path("profile").display());
    let output = Command::new("timeout")
        .args(["--kill-after=5", "90"])
        .arg(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
        ])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=2000",
        ])
        .arg(profile)
        .args(options)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The measured page 400 pixels wide: no window of the browser itself can be so narrow.
const PHONE: &str = "<!DOCTYPE html><html><head><script>\
    onmessage = (said) => Object.assign(document.documentElement.dataset, said.data);\
    </script></head><body><iframe src=\"measured.html\" width=\"400\" height=\"900\"></iframe></body></html>";

/// A copy of the page that says how wide it is and which labels of its plots run into each other.
/// The page itself allows no script.
fn measured(page: &str) -> String {
    let script = include_str!("measure.js");
    let page = page.replace("default-src 'none'; style-src 'unsafe-inline'", "");
    page.replace("</body>", &format!("<script>{script}</script></body>"))
}

#[test]
fn a_browser_shows_the_page_on_a_desk_and_on_a_phone() {
    let Some(browser) = chromium() else {
        skip("the page in a browser", "no chromium");
        return;
    };
    let folder = Folder::new("report-browser");
    let dir = overcommit().write(&folder.path("dir"), collapse);
    let page = page(&dir);
    let (dom, log) = browse(
        &browser,
        &folder,
        &dir.join("report.html"),
        &["--dump-dom".to_owned()],
    );
    assert!(dom.contains("<h1>overcommit on vmx</h1>"), "{dom}");
    assert!(!log.contains("CONSOLE"), "{log}");

    let copy = folder.file("measured.html", measured(&page).as_bytes());
    let desk = ["--window-size=1200,900".to_owned(), "--dump-dom".to_owned()];
    let phone = folder.file("phone.html", PHONE.as_bytes());
    for shown in [copy, phone] {
        let (dom, log) = browse(&browser, &folder, &shown, &desk);
        assert!(!log.contains("CONSOLE"), "{log}");
        let head: String = dom.chars().take(600).collect();
        assert!(
            head.contains("data-overflow=\"0\""),
            "{}: {head}",
            shown.display()
        );
        assert!(
            head.contains("data-overlaps=\"\""),
            "{}: {head}",
            shown.display()
        );
    }
}
