use roxmltree::Document;

use super::*;

/// Of a sheet with six panels.
const HEIGHT: f64 = 1114.0;
use crate::train::metrics::Validation;

fn measures(step: u64, epoch: u64, loss: f64) -> Measures {
    Measures {
        step,
        epoch,
        loss,
        reconstruction: 0.8 * loss,
        sparsity: 0.15 * loss,
        weight_decay: 0.05 * loss,
        denoising: None,
        rho_hat_mean: 0.05 + 0.1 / step as f64,
        lr: 1e-3,
        samples_per_s: 1e5,
        stall_ms: None,
        gradient_norm: None,
    }
}

/// A run of `steps` updates, ten to an epoch, whose loss falls as a power of the step.
fn run(steps: u64, power: f64) -> Vec<Record> {
    let mut records = Vec::new();
    for step in 1..=steps {
        let loss = 100.0 * (step as f64).powf(power);
        records.push(Record::Step(measures(step, (step - 1) / 10, loss)));
        if step % 10 == 0 {
            let validation = Validation { val_loss: Some(1.1 * loss), ..Validation::default() };
            records.push(Record::Epoch(EpochMeasures { train: measures(step, step / 10 - 1, loss), validation }));
        }
    }
    records
}

fn options() -> CurvesOptions {
    CurvesOptions { title: "digits <8×8> & more".into(), per: "sample".into(), rho: Some(0.05), best: None }
}

fn texts<'a>(document: &'a Document<'_>) -> Vec<&'a str> {
    document.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect()
}

/// Commands of every path of that colour.
fn points(document: &Document<'_>, color: &str) -> Vec<usize> {
    let paths = document.descendants().filter(|n| n.has_tag_name("path") && n.attribute("stroke") == Some(color));
    paths.map(|n| n.attribute("d").unwrap().matches(['M', 'L']).count()).collect()
}

#[test]
fn the_plot_is_xml_with_every_panel_titled_and_labelled() {
    let svg = render(&run(100, -0.2), &options());
    let document = Document::parse(&svg).unwrap();
    let texts = texts(&document);
    for title in
        ["Total loss", "Reconstruction", "Sparsity penalty", "Weight decay", "Mean activation", "Learning rate"]
    {
        assert!(texts.contains(&title), "{title}");
    }
    assert_eq!(texts.iter().filter(|t| **t == "step (weight updates)").count(), 6);
    assert_eq!(texts.iter().filter(|t| **t == "loss per sample").count(), 4);
    for label in ["training, each step", "training, epoch mean", "validation", "target ρ = 0.05", "digits <8×8> & more"]
    {
        assert_eq!(texts.iter().filter(|t| **t == label).count(), 1, "{label}");
    }
}

#[test]
fn each_curve_has_a_point_for_each_record() {
    let svg = render(&run(100, -0.2), &options());
    let document = Document::parse(&svg).unwrap();
    assert_eq!(points(&document, Role::Step.stroke().color), [100; 5]);
    assert_eq!(points(&document, Role::Epoch.stroke().color), [10, 10, 10, 10, 10, 100]);
    assert_eq!(points(&document, Role::Validation.stroke().color), [10]);
    assert_eq!(points(&document, Role::Target.stroke().color), [2]);
}

#[test]
fn gradient_norms_have_a_panel_where_they_were_recorded() {
    let mut records = run(100, -0.2);
    for record in &mut records {
        if let Record::Step(m) = record
            && m.step % 5 == 1
        {
            m.gradient_norm = Some(1.0 / m.step as f64);
        }
    }
    let svg = render(&records, &options());
    let document = Document::parse(&svg).unwrap();
    assert!(texts(&document).contains(&"Gradient norm"));
    assert_eq!(points(&document, Role::Epoch.stroke().color).last(), Some(&20));
}

#[test]
fn the_epoch_whose_model_was_kept_is_marked_and_named() {
    let svg = render(&run(100, -0.2), &CurvesOptions { best: Some((70, 43.0)), ..options() });
    let document = Document::parse(&svg).unwrap();
    assert!(texts(&document).contains(&"kept model"));
    let marks = document.descendants().filter(|n| n.has_tag_name("path") && n.attribute("stroke-width") == Some("2.4"));
    // One in the legend, one in the panel of the total loss: x from 78 to 938 for 0 to 100.
    let places: Vec<&str> = marks.map(|n| n.attribute("d").unwrap()).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places.iter().any(|d| d.starts_with("M680.00 ")), "{places:?}");
}

#[test]
fn a_value_is_drawn_at_its_place() {
    let records = [Record::Step(measures(1, 0, 1.0)), Record::Step(measures(2, 0, 0.0))];
    let svg = render(&records, &CurvesOptions::default());
    let document = Document::parse(&svg).unwrap();
    let path = document.descendants().find(|n| n.has_tag_name("path")).unwrap().attribute("d").unwrap();
    // The wide panel: x from 78 to 938 for 0 to 2, y from 310 up to 100 for 0 to 1.05.
    assert_eq!(path, format!("M508.00 {:.2}L938.00 310.00", 310.0 - 210.0 / 1.05));
}

#[test]
fn every_coordinate_lies_on_the_sheet() {
    let lengths = [0, 1, 9, 500];
    for (steps, power) in lengths.into_iter().flat_map(|n| [-3.0, 0.0, 2.0].map(|p| (n, p))) {
        let svg = render(&run(steps, power), &options());
        let document = Document::parse(&svg).unwrap();
        for node in document.descendants() {
            for (name, limit) in
                [("x", WIDTH), ("x1", WIDTH), ("x2", WIDTH), ("y", HEIGHT), ("y1", HEIGHT), ("y2", HEIGHT)]
            {
                if let Some(v) = node.attribute(name) {
                    assert!((0.0..=limit).contains(&v.parse().unwrap()), "{steps} {power}: {node:?}");
                }
            }
            for pair in node.attribute("d").unwrap_or_default().split(['M', 'L']).skip(1) {
                let (x, y) = pair.trim_end_matches("h0").split_once(' ').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{steps} {power}: {pair}");
            }
        }
    }
}

#[test]
fn more_than_two_decades_are_drawn_on_a_log_scale() {
    let shows_log = |power| render(&run(100, power), &options()).contains("loss per sample, log scale");
    assert!(shows_log(-1.5));
    assert!(!shows_log(-0.5));
}

#[test]
fn a_run_that_diverged_or_recorded_nothing_is_still_a_plot() {
    let mut records = run(30, -0.2);
    for (i, record) in records.iter_mut().enumerate().skip(10) {
        let m = match record {
            Record::Step(m) => m,
            Record::Epoch(e) => &mut e.train,
        };
        m.loss = [f64::NAN, f64::INFINITY, f64::MAX, f64::NEG_INFINITY][i % 4];
    }
    for records in [&records[..], &records[10..20], &[]] {
        let svg = render(records, &options());
        Document::parse(&svg).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
    let empty = render(&[], &CurvesOptions::default());
    assert_eq!(empty.matches("nothing recorded").count(), 6);
}

#[test]
fn a_long_run_is_thinned_without_losing_its_peaks() {
    let mut records = run(50_000, -0.2);
    if let Record::Step(m) = &mut records[30_000] {
        m.loss = 12_345.0;
    }
    let svg = render(&records, &options());
    let document = Document::parse(&svg).unwrap();
    let counts = [Role::Step, Role::Epoch, Role::Validation].map(|r| points(&document, r.stroke().color));
    assert!(counts.iter().flatten().all(|&n| n <= MAX_POINTS && n > MAX_POINTS / 2), "{counts:?}");
    let kept = decimate((0..50_000).map(|i| (f64::from(i), if i == 31_007 { 9.0 } else { 0.0 })).collect(), MAX_POINTS);
    assert!(kept.len() <= MAX_POINTS && kept.contains(&(31_007.0, 9.0)));
    assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    let gap = decimate((0..5000).map(|i| (f64::from(i), if i < 2500 { 1.0 } else { f64::NAN })).collect(), MAX_POINTS);
    assert!(gap.last().unwrap().1.is_nan());
}

#[test]
fn the_colours_are_apart_in_greyscale() {
    let luma = |role: Role| {
        let hex = |i| f64::from(u8::from_str_radix(&role.stroke().color[i..i + 2], 16).unwrap());
        0.2126 * hex(1) + 0.7152 * hex(3) + 0.0722 * hex(5)
    };
    let mut shades = [Role::Step, Role::Epoch, Role::Validation].map(luma).to_vec();
    shades.push(255.0);
    shades.sort_by(f64::total_cmp);
    assert!(shades.windows(2).all(|w| w[1] - w[0] > 50.0), "{shades:?}"); // a fifth of the range between any two, and paper
}

#[test]
fn the_file_is_the_document() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("curves.svg");
    save(&path, &run(20, -0.2), &options()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), render(&run(20, -0.2), &options()));
    assert!(save(&dir.path().join("none").join("c.svg"), &[], &options()).unwrap_err().to_string().contains("c.svg"));
}

#[test]
fn the_denoising_term_has_a_panel_where_there_is_one() {
    let mut records = run(30, -0.2);
    let titled = |records: &[Record]| render(records, &options()).contains(">Denoising<");
    assert!(!titled(&records));
    for record in &mut records {
        let (Record::Step(m) | Record::Epoch(EpochMeasures { train: m, .. })) = record;
        m.denoising = Some(0.1 * m.loss);
    }
    assert!(titled(&records));
}
