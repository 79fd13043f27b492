//! A real browser: Debian's Chromium, driven by its own driver.

use std::{
    env,
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_tests::{processes, wait};
use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::TimeoutConfiguration};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// One that asks nobody but the servers that a test names.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with a profile of its own. It goes, with all that it has started, when this goes.
#[derive(Debug)]
pub(crate) struct Browser {
    /// What it is told.
    pub(crate) page: Client,
    driver: Child,
    directory: TempDir,
}

impl Browser {
    /// Starts one.
    pub(crate) async fn start() -> Result<Self> {
        for program in [CHROMIUM, DRIVER] {
            ensure!(
                fs::exists(program)?,
                "{program} is missing: run `cargo xtask setup`, which installs chromium and chromium-driver"
            );
        }
        let directory = tempfile::Builder::new().prefix("evenkeel-browser-").tempdir()?;
        let output = directory.path().join("driver");
        let driver = Command::new(DRIVER)
            .args(["--port=0", "--log-level=WARNING"])
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            // Also what all of its processes are known by.
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()
            .context(DRIVER)?;
        let mut starting = Starting(Some(driver));
        let port = wait::until("the driver to listen", wait::LONG, async || {
            let text = fs::read_to_string(&output)?;
            let port = text.lines().find_map(|line| line.split_once("successfully on port ")).map(|(_, port)| port);
            port.and_then(|port| port.trim_end_matches('.').parse::<u16>().ok()).context("it does not")
        })
        .await?;
        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", directory.path().join("profile").display()));
        // The authority of these tests is nobody's whom a browser knows.
        let options =
            json!({ "acceptInsecureCerts": true, "goog:chromeOptions": { "binary": CHROMIUM, "args": flags } });
        let Value::Object(options) = options else { unreachable!("it is an object") };
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("no browser")?;
        let limits = TimeoutConfiguration::new(Some(wait::LONG), Some(wait::LONG), Some(Duration::ZERO));
        page.update_timeouts(limits).await?;
        let driver = starting.0.take().context("the driver is gone")?;
        Ok(Self { page, driver, directory })
    }

    /// The element that is found by this selector, as soon as there is one.
    pub(crate) async fn element(&self, selector: &str) -> Result<Element> {
        wait::until(&format!("{selector} to be there"), wait::LONG, async || {
            Ok(self.page.find(Locator::Css(selector)).await?)
        })
        .await
    }

    /// Types into a field, in the place of what is there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let field = self.element(selector).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Waits until the address is a wanted one, and yields it.
    pub(crate) async fn wait_address(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        wait::until("another address", wait::LONG, async || {
            let address = self.page.current_url().await?.to_string();
            ensure!(wanted(&address), "it is {address}");
            Ok(address)
        })
        .await
    }

    /// Has the page evaluate an expression, which may be a promise.
    pub(crate) async fn evaluate(&self, expression: &str) -> Result<Value> {
        let script = format!(
            "const done = arguments[0]; Promise.resolve({expression}).then(done, error => done('failed: ' + error));"
        );
        Ok(self.page.execute_async(&script, Vec::new()).await?)
    }

    /// What is to be read on the page.
    pub(crate) async fn text(&self) -> Result<String> {
        Ok(self.element("body").await?.text().await?)
    }
}

/// A driver that has not become a browser yet.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(driver) = &mut self.0 {
            let _ = driver.kill();
            let _ = driver.wait();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let mark = self.directory.path().to_string_lossy().into_owned();
        for process in processes::marked(&mark) {
            process.kill();
        }
        let _ = self.driver.wait();
    }
}
