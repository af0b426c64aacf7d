//! `report.html`: what it holds, and how a browser shows it, where `SAE_CHROMIUM` names one.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::Sae;

/// Elements with this start, up to their `>`.
fn tags<'a>(page: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(start).skip(1).filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag))
}

fn stands_alone(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("lang=\"en\""));
    for loaded in ["src=\"", "href=\""] {
        for address in page.split(loaded).skip(1) {
            assert!(address.starts_with("data:") || address.starts_with('#'), "{}", &address[..60.min(address.len())]);
        }
    }
    assert!(
        !page.contains("url(") && !page.contains("@import") && !page.contains("<script"),
        "nothing is fetched or run"
    );
    assert!(
        tags(page, "<img").all(|tag| tag.contains("alt=\"") && !tag.contains("alt=\"\"")),
        "every picture is described"
    );
    assert!(tags(page, "<svg").all(|tag| tag.contains("role=\"img\"")));
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert_eq!(ids.iter().filter(|id| **id == target).count(), 1, "#{target}");
    }
}

#[test]
fn a_run_ends_with_a_page_that_tells_all_of_it() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 3 --out run -q");
    let page = std::fs::read_to_string(sae.path("run/report.html")).unwrap();
    stands_alone(&page);
    for id in ["course", "learned", "reconstructions", "sparsity", "comparison", "speed", "reproduce"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    for text in [
        "Reconstruction",
        "validation",
        "All 12 filters",
        "Unit ",
        "The best",
        "The worst",
        "of 12 units active",
        "12 principal components",
        "The mean training sample",
        "GFLOP/s",
        "weight grad enc",
        "sae train --model.d_hid 12",
        "d_hid = 12",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let hash = |name: &str| {
        let row = page.split(&format!(">{name}</th>")).nth(1).unwrap_or_else(|| panic!("{name}"));
        row.split("mono\">").nth(1).unwrap()[..64].to_owned()
    };
    assert!(["model.safetensors", "config.toml", "data, as trained on"].iter().all(|name| hash(name).len() == 64));

    // From the files alone, the same page comes again.
    std::fs::remove_file(sae.path("run/report.html")).unwrap();
    assert_eq!(sae.done("report run").trim(), "run/report.html");
    assert_eq!(std::fs::read_to_string(sae.path("run/report.html")).unwrap(), page);
    // The figures that stand alone are what their names say.
    for name in ["filters.png", "reconstructions.png"] {
        assert!(std::fs::read(sae.path("run").join(name)).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
    }
    for name in ["curves.svg", "rho_hat.svg"] {
        let svg = std::fs::read_to_string(sae.path("run").join(name)).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
    }
}

#[test]
fn the_same_autoencoder_without_sparsity_is_found_beside_a_run() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 2 --sparsity.kind none --out dense -q");
    sae.done("train --model.d_hid 12 --train.epochs 2 --out sparse -q");
    let page = std::fs::read_to_string(sae.path("sparse/report.html")).unwrap();
    assert!(page.contains("The same autoencoder without sparsity (dense)"));
    let page = std::fs::read_to_string(sae.path("dense/report.html")).unwrap();
    assert!(!page.contains("without sparsity (") && page.contains("without a sparsity term"));
}

#[test]
fn several_runs_are_one_page_and_their_differences_a_table() {
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 2 --out a -q");
    sae.done("train --model.d_hid 9 --train.epochs 2 --out b -q");
    let found = sae.json("report a b --out both.html");
    assert_eq!((&found["out"], found["runs"].as_array().unwrap().len()), (&"both.html".into(), 2));
    let page = std::fs::read_to_string(sae.path("both.html")).unwrap();
    stands_alone(&page);
    for text in ["2 runs", "64–12–64", "64–9–64", "model.d_hid", "Mean squared error"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<code>seed</code>"), "settings that are the same are left out");
}

#[test]
fn vectors_that_are_no_images_are_bars() {
    let sae = Sae::new();
    sae.done("train --data synthetic:rows=300,d_in=20,atoms=8,active=2 --model.d_hid 8 --train.epochs 2 --out run -q");
    let page = std::fs::read_to_string(sae.path("run/report.html")).unwrap();
    stands_alone(&page);
    assert!(page.contains("signed bars") && page.contains("units bars"), "bars");
}

#[test]
fn a_run_whose_data_are_gone_or_others_still_has_a_page_and_what_is_no_run_is_refused() {
    let sae = Sae::new();
    let rows: String = (0..60).map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 3)).collect();
    sae.write("data.csv", rows.as_bytes());
    sae.done("train --data data.csv --model.d_hid 2 --train.epochs 2 --out run -q");
    sae.write("data.csv", rows.replace('6', "5").as_bytes());
    let output = sae.run("report run --out changed.html");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("not those in run.json"), "{text}");
    std::fs::remove_file(sae.path("data.csv")).unwrap();
    let output = sae.run("report run --out gone.html");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("data.csv"));
    let page = std::fs::read_to_string(sae.path("gone.html")).unwrap();
    stands_alone(&page);
    assert!(page.contains("Not shown"));

    sae.refused("report rnu", &["rnu: no such file or folder", "did you mean `run`?"]);
    sae.refused("report", &["<DIR>"]);
    std::fs::remove_file(sae.path("run/metrics.jsonl")).unwrap();
    sae.refused("report run", &["run: there is no metrics.jsonl in it"]);
}

/// Loads a copy of the page in frames as wide as a phone and a desktop, which tell how they lay it out.
fn shown(chromium: &str, folder: &Path, page: &str, dark: bool) -> Vec<Value> {
    const REPORT: &str = "<script>addEventListener('load', () => {
        const style = getComputedStyle(document.body);
        parent.postMessage(JSON.stringify({
            width: innerWidth, scroll: document.documentElement.scrollWidth,
            ground: style.backgroundColor, text: style.color,
            broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).length,
            small: [...document.querySelectorAll('p, figcaption, td, th, span, dt, dd, li')]
                .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12.5).length,
        }), '*');
    });</script>";
    const PROBE: &str = "<!DOCTYPE html><meta charset=utf-8><body><ul id=told></ul><script>
        addEventListener('message', e => {
            const li = document.createElement('li'); li.textContent = e.data; told.append(li);
        });
        </script><iframe width=390 height=800 src=copy.html></iframe><iframe width=1280 height=800 src=copy.html></iframe>";
    std::fs::write(folder.join("copy.html"), page.replace("</head>", &format!("{REPORT}</head>"))).unwrap();
    std::fs::write(folder.join("probe.html"), PROBE).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=4000", "--window-size=1400,900"])
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", folder.join("probe.html").display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("CONSOLE"), "{log}");
    let dom = String::from_utf8_lossy(&output.stdout);
    dom.split("<li>").skip(1).map(|rest| serde_json::from_str(rest.split("</li>").next().unwrap()).unwrap()).collect()
}

#[test]
fn a_browser_shows_the_pages_without_an_error_on_phone_and_desktop_light_and_dark() {
    let Some(chromium) = std::env::var("SAE_CHROMIUM").ok().filter(|path| !path.is_empty()) else {
        eprintln!("skipped: SAE_CHROMIUM names no Chromium (scripts/chromium finds or installs one)");
        return;
    };
    let sae = Sae::new();
    sae.done("train --model.d_hid 12 --train.epochs 3 --out a -q");
    sae.done("train --data synthetic:rows=300,d_in=20,atoms=8,active=2 --model.d_hid 8 --train.epochs 2 --out b -q");
    sae.done("report a b --out both.html");
    for name in ["a/report.html", "b/report.html", "both.html"] {
        let page = std::fs::read_to_string(sae.path(name)).unwrap();
        for (dark, ground) in [(false, "rgb(255, 255, 255)"), (true, "rgb(22, 24, 29)")] {
            let found = shown(&chromium, sae.folder.path(), &page, dark);
            assert_eq!(found.len(), 2, "{name}: {found:?}");
            for frame in &found {
                assert!(
                    frame["scroll"].as_f64() <= frame["width"].as_f64(),
                    "{name} is wider than the screen: {frame}"
                );
                assert_eq!((&frame["broken"], &frame["small"]), (&0.into(), &0.into()), "{name}: {frame}");
                assert_eq!(frame["ground"], ground, "{name}: {frame}");
                assert_ne!(frame["ground"], frame["text"]);
            }
        }
    }
}
