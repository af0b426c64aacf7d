use super::*;

const TEXT: &str = r#"
measure = "linear"
title = "A title"
published = "a figure"
seeds = [0, 1]
[[gates]]
value = "excess"
at_most = 1e6
[run.data]
source = "digits"
[run.model]
d_hid = 8
hidden = "identity"
output = "identity"
[run.sparsity]
kind = "none"
[run.train]
epochs = 2
"#;

#[test]
fn an_experiment_is_run_with_every_seed_judged_recorded_and_shown() {
    let out = tempfile::tempdir().unwrap();
    let experiment = Experiment::parse(TEXT, "some").unwrap();
    let mut told = Vec::new();
    let outcome = experiment.run(Path::new("none"), out.path(), |line| told.push(line.to_owned())).unwrap();
    told.sort();
    assert!(told.len() == 2 && told[1].starts_with("some seed 1: test MSE "), "{told:?}");
    assert_eq!(outcome.values.iter().map(|s| s.of_seeds.len()).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(outcome.holds());
    outcome.save(out.path()).unwrap();
    assert_eq!(Outcome::all(out.path()).unwrap(), std::slice::from_ref(&outcome));
    page::write(out.path(), "# Findings\n").unwrap();
    let text = std::fs::read_to_string(out.path().join(page::PAGE)).unwrap();
    assert!(text.starts_with("# Findings\n\n## Gates") && text.contains("| ≤ 1000000 | yes |"), "{text}");
    let strict = Experiment::parse(&TEXT.replace("at_most = 1e6", "at_most = -1.0"), "some").unwrap();
    assert!(!strict.judge(&strict.gates[0], &outcome.values).unwrap().holds);
    let other = Experiment::parse(&TEXT.replace("\"excess\"", "\"exces\""), "some").unwrap();
    assert!(other.judge(&other.gates[0], &outcome.values).unwrap_err().to_string().contains("a gate on `exces`"));
    let stated = Experiment::parse(&TEXT.replace("at_most = 1e6", "stated = true"), "some").unwrap();
    assert!(stated.judge(&stated.gates[0], &outcome.values).unwrap().holds);
    let nothing = [Series { name: "excess".to_owned(), of_seeds: vec![0.1, f64::NAN] }];
    assert!(!stated.judge(&stated.gates[0], &nothing).unwrap().holds);
}

#[test]
fn models_that_are_compared_differ_from_the_run_in_what_they_name() {
    let models = r#"
[[settings.models]]
name = "plain"
with = { "loss.weight_decay" = 0.25 }
[[settings.models]]
name = "L1"
with = { "sparsity.kind" = "l1", "model.d_hid" = 9 }
"#;
    let context = |text: &str| {
        let experiment = Experiment::parse(&format!("{TEXT}{text}"), "some").unwrap();
        Context { experiment: &experiment, data: Path::new("data"), seed: 3, first: true }.models()
    };
    let found = context(models).unwrap();
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["plain", "L1"]);
    assert_eq!((found[0].1.loss.weight_decay, found[0].1.model.d_hid, found[0].1.seed), (0.25, 8, 3));
    assert_eq!((found[1].1.sparsity.kind.name(), found[1].1.model.d_hid), ("l1", 9));
    for (text, told) in [
        ("", "settings.models is not there"),
        ("[settings]\nmodels = 3", "settings.models: "),
        (&models.replace("name = \"L1\"", ""), "settings.models: missing field `name`"),
        (&models.replace("model.d_hid", "model.d_hidd"), "did you mean `model.d_hid`"),
    ] {
        let error = context(text).unwrap_err();
        assert!(error.to_string().contains(told) && error.exit_code() == 2, "{error}");
    }
}

#[test]
fn what_is_no_experiment_is_refused() {
    for (from, to, told) in [
        ("\"linear\"", "\"linaer\"", "did you mean `linear`"),
        ("seeds = [0, 1]", "seeds = []", "no seeds"),
        ("at_most = 1e6", "", "without a bound"),
        ("title", "titel", "titel"),
    ] {
        let error = Experiment::parse(&TEXT.replace(from, to), "some").unwrap_err();
        assert!(error.to_string().contains(told) && error.exit_code() == 2, "{error}");
    }
}

#[test]
fn the_experiments_of_the_repository_can_be_read_and_their_settings_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let all = Experiment::all(&folder).unwrap();
    assert!(!all.is_empty());
    for experiment in &all {
        let context = Context { experiment, data: Path::new("data"), seed: 3, first: true };
        let config = context.config(&[]).unwrap();
        assert_eq!(config.seed, 3, "{}", experiment.name);
        if experiment.settings.contains_key("models") {
            assert!(!context.models().unwrap().is_empty(), "{}", experiment.name);
        }
    }
}

#[test]
fn an_experiment_without_its_data_is_known_before_it_is_run() {
    let mut experiment = Experiment::parse(TEXT, "some").unwrap();
    assert!(experiment.has_data(Path::new("no-such-folder")));
    experiment.needs = Some("mnist".to_owned());
    assert!(!experiment.has_data(Path::new("no-such-folder")));
}
