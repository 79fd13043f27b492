//! Signing in, working and signing out in a real browser, at two daemons that a real account runs for itself. Takes root,
//! to make the account.

use anyhow::{Context as _, Result};
use evenkeel_tests::{
    Builder,
    accounts::{PamService, UnixUser},
    own::OwnDaemon,
    visitor::Visitor,
    wait,
};

#[path = "browser/driver.rs"]
mod driver;

use driver::Browser;

/// Opens a web socket of the session that is shown, and yields what comes back.
const SPEAK: &str = "new Promise((resolve, reject) => {
    window.line = new WebSocket(new URL('ws', location.href).href.replace('http', 'ws'));
    line.onopen = () => line.send('hello');
    line.onmessage = message => resolve(message.data);
    line.onclose = () => { window.isClosed = true; reject('closed'); };
})";

async fn give_password(browser: &Browser, user: &str, password: &str) -> Result<()> {
    browser.fill("#user", user).await?;
    browser.fill("#password", password).await?;
    Ok(browser.element("form[action='/sign-in'] button").await?.click().await?)
}

#[tokio::test]
async fn a_person_signs_in_by_the_form_uses_a_session_signs_out_and_is_out_everywhere() -> Result<()> {
    let (service, user) = (PamService::unix()?, UnixUser::create("pam").await?);
    let [first, second] =
        [OwnDaemon::start(&user, "n1", &service).await?, OwnDaemon::start(&user, "n2", &service).await?];
    let [here, there] = [&first, &second].map(|daemon| format!("http://{}", daemon.authority));
    let browser = Browser::start().await?;

    browser.page.goto(&here).await?;
    assert_eq!(browser.page.current_url().await?.path(), "/sign-in");
    assert_eq!(browser.page.active_element().await?.attr("id").await?.as_deref(), Some("user"));
    give_password(&browser, &user.name, "wrong").await?;
    let alert = browser.element("[role=alert]").await?.text().await?;
    assert_eq!(alert, "The user name or the password is not right.");
    assert_eq!(browser.element("#user").await?.prop("value").await?.as_deref(), Some(user.name.as_str()));
    assert_eq!(browser.element("#password").await?.prop("value").await?.as_deref(), Some(""));
    assert_eq!(browser.page.active_element().await?.attr("id").await?.as_deref(), Some("password"));
    give_password(&browser, &user.name, &user.password).await?;
    browser.wait_address(|address| address == format!("{here}/")).await?;
    assert!(browser.text().await?.contains(&user.name));

    browser.element("#kind").await?.select_by_value("echo").await?;
    browser.element("form[action='/sessions'] button").await?.click().await?;
    let session = browser.wait_address(|address| address.starts_with(&format!("{here}/s/"))).await?;
    let seen = browser.evaluate("fetch('headers?a=b').then(answer => answer.json())").await?;
    let path = session.strip_prefix(&here).context("a path")?.to_owned();
    assert_eq!(seen["target"], format!("{path}headers?a=b"));
    assert!(seen["headers"].get("cookie").is_none(), "the program does not see how its user signed in: {seen}");
    assert_eq!(browser.evaluate(SPEAK).await?, "hello");

    // The cookie is the host's, whatever the port: another node knows them too.
    let work = browser.page.window().await?;
    let other = browser.page.new_window(true).await?;
    browser.page.switch_to_window(other.handle).await?;
    browser.page.goto(&format!("{there}{path}")).await?;
    assert_eq!(browser.page.current_url().await?.as_str(), format!("{there}{path}"));
    browser.page.goto(&there).await?;
    browser.element("form[action='/sign-out'] button").await?.click().await?;
    browser.wait_address(|address| address.ends_with("/sign-in")).await?;

    browser.page.switch_to_window(work).await?;
    wait::until("the open web socket to be closed", wait::LONG, async || {
        anyhow::ensure!(browser.evaluate("window.isClosed === true").await? == true, "it is open");
        Ok(())
    })
    .await?;
    for node in [&here, &there] {
        browser.page.goto(&format!("{node}{path}")).await?;
        let address = browser.page.current_url().await?.to_string();
        assert_eq!(address, format!("{node}/sign-in?next={path}"));
    }

    // And back to where they wanted to go.
    give_password(&browser, &user.name, &user.password).await?;
    browser.wait_address(|address| address == format!("{there}{path}")).await?;
    let id = path.trim_start_matches("/s/").trim_end_matches('/');
    Visitor::signed_in(&first.authority, &user).await?.end(id).await?;
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn a_person_who_comes_without_tls_is_sent_on_and_works_with_it_through_any_node() -> Result<()> {
    let cluster = Builder::for_test(2)?.with_tls().start().await?;
    let session = cluster.client(0)?.launch_active("echo").await?;
    let browser = Browser::start().await?;
    browser.page.goto(cluster.nodes()[0].sign_in()).await?;
    for node in cluster.nodes() {
        browser.page.goto(&format!("http://{}{}", node.authority(), session.path(""))).await?;
        let address = browser.page.current_url().await?.to_string();
        assert_eq!(address, format!("https://{}{}", node.authority(), session.path("")));
        let seen = browser.evaluate("fetch('headers').then(answer => answer.json())").await?;
        assert_eq!(seen["headers"]["x-forwarded-proto"][0], "https", "{seen}");
        assert_eq!(browser.evaluate(SPEAK).await?, "hello");
    }
    let cookies = browser.page.get_all_cookies().await?;
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie.secure() == Some(true)), "{cookies:?}");
    Ok(())
}
