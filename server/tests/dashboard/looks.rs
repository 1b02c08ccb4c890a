//! How the pages look and read: to eyes in light and in dark, on a phone, and to who cannot see.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::browser::Browser;
use crate::story::{OPENSTACK, Story};

/// axe-core as it lies in npm's folder; nothing where it is not there and need not be.
fn axe() -> Option<String> {
    let path = std::env::var_os("PINION_AXE").map(PathBuf::from);
    let read = path.map(|path| (std::fs::read_to_string(&path), path));
    match read {
        Some((Ok(script), _)) => Some(script),
        Some((Err(error), path)) => panic!("PINION_AXE names `{}`: {error}", path.display()),
        None if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
            panic!("axe-core is required: PINION_AXE names no file")
        }
        None => {
            eprintln!(
                "skipped: PINION_AXE names no axe.min.js of npm's axe-core, so it is not asked"
            );
            None
        }
    }
}

/// Serious and critical faults of the page that is shown.
async fn faults(browser: &Browser, axe: &str) -> Vec<Value> {
    browser.run(axe).await;
    let script = "const done = arguments[arguments.length - 1]; axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations), (error) => done([String(error)]));";
    let found = browser
        .client
        .execute_async(script, Vec::new())
        .await
        .unwrap();
    let found = found.as_array().unwrap().iter();
    found
        .filter(|one| one["impact"] != "minor" && one["impact"] != "moderate")
        .map(|one| {
            let nodes = one["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
            let nodes: Vec<_> = nodes
                .iter()
                .map(|node| json!([node["target"], node["failureSummary"]]))
                .collect();
            json!({ "rule": one["id"], "help": one["help"], "nodes": nodes, "whole": if one.is_string() { one.clone() } else { Value::Null } })
        })
        .collect()
}

/// Of twelve open rollouts one is in trouble: which, why, who is affected, what happens next and how to stop it stand
/// on the first page, where it is seen without scrolling.
async fn five_questions(browser: &Browser, story: &Story) {
    let card = format!("#card-{}", story.suspicious);
    let answers = [
        ("which", "h3", "Jinja2"),
        ("why", "dd:nth-of-type(1)", "It may be harmful: "),
        ("next", "dd:nth-of-type(2)", "it is rolled back by itself"),
        ("who", "dd:nth-of-type(3)", " of 120 environments"),
        ("stop", ".head a.end", "Stop"),
    ];
    for width in [1280, 390] {
        browser.dress(width, "light").await;
        browser.go(&story.server.url()).await;
        let open = browser
            .run("return document.querySelectorAll('.cards > .card').length")
            .await;
        assert_eq!(open, json!(12));
        browser.until_says("h1", "1 rollout is in trouble").await;
        for (question, selector, words) in answers {
            let selector = format!("{card} {selector}");
            browser.until_says(&selector, words).await;
            let bottom = browser
                .run(&format!(
                    "return document.querySelector({}).getBoundingClientRect().bottom",
                    json!(selector)
                ))
                .await;
            let bottom = bottom.as_f64().unwrap();
            assert!(bottom <= 900.0, "{question} ends at {bottom} on {width} px");
        }
    }
    for scheme in ["light", "dark"] {
        browser.dress(1000, scheme).await;
        browser.go(&story.server.url()).await;
        browser.until_says("#live", "live").await;
        let name = format!("readme-overview-{scheme}");
        browser.keep_top(&name, 1000, 640).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_reads_well_in_both_schemes_and_fits_a_phone() {
    let Some(browser) = Browser::find().await else {
        return;
    };
    let axe = axe();
    let dir = tempdir().unwrap();
    let story = Story::tell(dir.path()).await;
    let url = story.server.url();
    let environment = &story.environments[0].id;
    let pages = [
        ("overview", "/".to_owned()),
        ("rollout-trouble", format!("/rollouts/{}", story.suspicious)),
        (
            "rollout-stopping",
            format!("/rollouts/{}?open=abort#act-abort", story.good),
        ),
        ("rollout-paused", format!("/rollouts/{}", story.paused)),
        (
            "rollout-rolled-back",
            format!("/rollouts/{}", story.rolled_back),
        ),
        ("rollout-complete", format!("/rollouts/{}", story.complete)),
        ("rollout-gating", format!("/rollouts/{}", story.gating)),
        ("rollouts", "/rollouts".to_owned()),
        ("decisions", "/decisions".to_owned()),
        ("pin-set", format!("/pin-sets/{OPENSTACK}?q=m")),
        (
            "environment",
            format!("/environments?id={environment}&package=requests"),
        ),
        ("pin-set-whole", format!("/pin-sets/{OPENSTACK}")),
        ("queue", "/pin-sets/busy/queue".to_owned()),
        (
            "policy",
            format!("/pin-sets/{OPENSTACK}/policy?fleet=20&package=requests&to=3.0"),
        ),
        ("figures", "/figures".to_owned()),
        (
            "start",
            format!("/pin-sets/{OPENSTACK}/start?candidates=pytz%3D%3D2099.1"),
        ),
        ("import", format!("/pin-sets/{OPENSTACK}/import")),
        ("missing", "/rollouts/ro-0000000000000000".to_owned()),
    ];
    browser.go(&format!("{url}/sign-in?next=/")).await;
    for scheme in ["light", "dark"] {
        browser.dress(1100, scheme).await;
        browser.keep(&format!("sign-in-{scheme}")).await;
        if let Some(axe) = &axe {
            assert_eq!(
                faults(&browser, axe).await,
                Vec::<Value>::new(),
                "sign-in {scheme}"
            );
        }
    }
    browser.sign_in(&url, &story.server.manager).await;
    five_questions(&browser, &story).await;
    for (name, path) in &pages {
        browser.go(&format!("{url}{path}")).await;
        browser
            .until("return document.getElementById('live').textContent === 'live' && (document.documentElement.dataset.updates > 0 || !!document.querySelector('[data-still]'))")
            .await;
        if *name == "policy" {
            // It is computed in the background, and comes without a reload.
            browser
                .until("const picture = document.querySelector('img.simulation'); return !!picture && picture.complete && picture.naturalWidth > 0")
                .await;
        }
        for (width, scheme) in [
            (1100, "light"),
            (1100, "dark"),
            (360, "light"),
            (320, "dark"),
        ] {
            browser.dress(width, scheme).await;
            if width == 360 || width == 1100 {
                browser.keep(&format!("{name}-{width}-{scheme}")).await;
            }
            let wide = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(wide, json!(0), "{name} is wider than {width} px");
            if let Some(axe) = axe
                .as_ref()
                .filter(|_| (width, scheme) == (1100, "light") || width == 320)
            {
                assert_eq!(
                    faults(&browser, axe).await,
                    Vec::<Value>::new(),
                    "{name} {width} {scheme}"
                );
            }
        }
        if *name != "missing" {
            browser.check_console().await;
        }
    }
}
