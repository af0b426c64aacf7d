use serde_json::json;

use super::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// 3 × 2 weights that are all different and not exact in decimal.
fn sample() -> ModelFile {
    let numbers = |n: usize, start: f32| (0..n).map(|i| (start + i as f32) / 7.0).collect::<Vec<_>>();
    ModelFile {
        w_enc: numbers(6, -3.0),
        b_enc: numbers(2, 0.5),
        w_dec: numbers(6, 10.0),
        b_dec: vec![f32::MIN_POSITIVE / 4.0, -0.0, f32::MAX],
        d_in: 3,
        d_hid: 2,
        cfg: ModelConfig {
            hidden: Activation::Sigmoid,
            output: Activation::Tanh,
            convention: "per_sample".into(),
            reconstruction: Loss::Bce,
            sparsity: "kl".into(),
            rho: 0.1 + 0.2,
            k: None,
            threshold: None,
            beta: 3.0,
            lambda: 1e-4,
            tied: false,
            image: Some((3, 1)),
            preprocessing: json!({"kind": "zscore", "mean": [0.1 + 0.2, 1.0 / 3.0, 5e-324]}),
        },
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Saves the sample, lets `edit` change `cfg.json`, loads.
fn load_edited(edit: impl FnOnce(&mut Value)) -> Result<ModelFile, ModelFileError> {
    let dir = tempfile::tempdir().unwrap();
    sample().save(dir.path()).unwrap();
    let path = dir.path().join(CONFIG_FILE);
    let mut cfg: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut cfg);
    fs::write(&path, cfg.to_string()).unwrap();
    ModelFile::load(dir.path())
}

fn safetensors_of(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(n, d, s, b)| (*n, TensorView::new(*d, s.clone(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn a_model_comes_back_bit_for_bit_from_its_folder_and_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = sample();
    model.save(dir.path()).unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join(WEIGHTS_FILE)] {
        let back = ModelFile::load(&path).unwrap();
        assert_eq!(back, model);
        assert_eq!(bits(&back.b_dec), bits(&model.b_dec)); // == does not tell −0 from 0
    }
    let weights = load_weights_only(&dir.path().join(WEIGHTS_FILE), 3, 2).unwrap();
    assert_eq!((weights.w_enc, weights.b_enc), (model.w_enc, model.b_enc));
    assert_eq!((weights.w_dec, weights.b_dec), (model.w_dec, model.b_dec));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn the_files_are_what_saelens_reads() {
    let dir = tempfile::tempdir().unwrap();
    sample().save(dir.path()).unwrap();
    let cfg: Value = serde_json::from_slice(&fs::read(dir.path().join(CONFIG_FILE)).unwrap()).unwrap();
    assert_eq!(cfg["architecture"], "standard");
    assert_eq!((cfg["d_in"].as_u64(), cfg["d_sae"].as_u64()), (Some(3), Some(2)));
    assert_eq!((&cfg["dtype"], &cfg["device"]), (&json!("float32"), &json!("cpu")));
    assert_eq!(cfg["apply_b_dec_to_input"], false);
    assert_eq!(cfg["normalize_activations"], "none");
    assert!(cfg["metadata"]["sae_lens_version"].as_str().unwrap().starts_with("6."));
    let bytes = fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("W_enc").unwrap().shape(), [3, 2]);
    assert_eq!(file.tensor("b_enc").unwrap().shape(), [2]);
    assert_eq!(file.tensor("W_dec").unwrap().shape(), [2, 3]);
    assert_eq!(file.tensor("b_dec").unwrap().shape(), [3]);
    let first = f32::from_le_bytes(file.tensor("W_dec").unwrap().data()[..4].try_into().unwrap());
    assert_eq!(first, 10.0 / 7.0);
}

#[test]
fn the_largest_activations_of_a_relu_are_what_saelens_calls_topk() {
    let dir = tempfile::tempdir().unwrap();
    let save = |hidden: Activation| -> Value {
        let mut model = sample();
        (model.cfg.hidden, model.cfg.k, model.cfg.sparsity) = (hidden, Some(1), "topk".to_owned());
        model.save(dir.path()).unwrap();
        assert_eq!(ModelFile::load(dir.path()).unwrap(), model);
        serde_json::from_slice(&fs::read(dir.path().join(CONFIG_FILE)).unwrap()).unwrap()
    };
    let cfg = save(Activation::Sigmoid);
    assert_eq!((&cfg["architecture"], cfg.get("k")), (&json!("standard"), None));
    let mut cfg = save(Activation::Relu);
    assert_eq!((&cfg["architecture"], &cfg["k"]), (&json!("topk"), &json!(1)));
    assert_eq!(cfg["rescale_acts_by_decoder_norm"], false);
    for (key, wrong) in
        [("k", json!(2)), ("architecture", json!("standard")), ("rescale_acts_by_decoder_norm", json!(true))]
    {
        let right = std::mem::replace(&mut cfg[key], wrong);
        fs::write(dir.path().join(CONFIG_FILE), cfg.to_string()).unwrap();
        let error = ModelFile::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("expected"), "{error}");
        cfg[key] = right;
    }
}

#[test]
fn a_file_cut_off_at_any_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    sample().save(dir.path()).unwrap();
    for name in [WEIGHTS_FILE, CONFIG_FILE] {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        let end = whole.trim_ascii_end().len(); // the newline that ends cfg.json says nothing
        for length in 0..end {
            fs::write(&path, &whole[..length]).unwrap();
            let error = ModelFile::load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains('\n'), "{length}: {error}");
        }
        fs::write(&path, &whole).unwrap();
        ModelFile::load(dir.path()).unwrap();
    }
}

#[test]
fn a_safetensors_file_with_any_bit_of_its_header_flipped_never_panics_and_bytes_after_the_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    sample().save(dir.path()).unwrap();
    let path = dir.path().join(WEIGHTS_FILE);
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for bit in 0..header * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let _ = ModelFile::load(dir.path());
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    assert!(ModelFile::load(dir.path()).is_err());
}

#[test]
fn a_header_longer_than_the_file_is_refused_by_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    fs::write(&path, bytes).unwrap();
    let error = load_weights_only(&path, 3, 2).unwrap_err().to_string();
    assert!(error.contains("header length is 18446744073709551615 bytes, expected at most the 2 bytes"), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_neither_written_nor_read() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let dir = tempfile::tempdir().unwrap();
        let mut model = sample();
        model.w_dec[4] = bad;
        let error = model.save(dir.path()).unwrap_err().to_string();
        assert!(error.contains("element 4 of W_dec"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        sample().save(dir.path()).unwrap();
        let path = dir.path().join(WEIGHTS_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&bad.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let error = ModelFile::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: element") && error.contains("a finite number"), "{error}");
    }
}

#[test]
fn lengths_that_disagree_with_the_widths_are_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = sample();
    model.b_enc.push(0.0);
    let error = model.save(dir.path()).unwrap_err().to_string();
    assert!(error.contains("length of b_enc is 3, expected 2"), "{error}");
    let empty = ModelFile { d_in: 0, ..sample() };
    assert!(empty.save(dir.path()).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn tensors_of_another_name_dtype_or_shape_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let f = |name, shape: Vec<usize>| {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        (name, Dtype::F32, shape, bytes)
    };
    let good = || vec![f("W_enc", vec![3, 2]), f("b_enc", vec![2]), f("W_dec", vec![2, 3]), f("b_dec", vec![3])];
    let check = |tensors: Vec<_>, part: &str| {
        fs::write(&path, safetensors_of(&tensors)).unwrap();
        let error = load_weights_only(&path, 3, 2).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    fs::write(&path, safetensors_of(&good())).unwrap();
    load_weights_only(&path, 3, 2).unwrap();
    check(good().into_iter().skip(1).collect(), "tensor W_enc is missing");
    check(good().into_iter().chain([f("threshold", vec![2])]).collect(), "`threshold`");
    let mut tensors = good();
    tensors[2] = f("W_dec", vec![3, 2]);
    check(tensors, "shape of W_dec is [3, 2], expected [2, 3]");
    let mut tensors = good();
    tensors[3] = ("b_dec", Dtype::F64, vec![3], vec![0; 24]);
    check(tensors, "dtype of b_dec is F64, expected F32");
    fs::write(&path, safetensors_of(&good())).unwrap();
    let error = load_weights_only(&path, 3, 5).unwrap_err().to_string();
    assert!(error.contains("shape of W_enc is [3, 2], expected [3, 5]"), "{error}");
    assert!(load_weights_only(&path, usize::MAX, 2).is_err());
}

#[test]
fn a_configuration_that_means_something_else_is_refused_by_its_key() {
    let check = |edit: fn(&mut Value), part: &str| {
        let error = load_edited(edit).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("expected") && error.contains("cfg.json"), "{error}");
    };
    load_edited(|_| ()).unwrap();
    check(|c| c["sae"]["format_version"] = json!(2), "sae.format_version is 2, expected 1");
    check(|c| c["architecture"] = json!("topk"), "architecture is `topk`");
    check(|c| c["apply_b_dec_to_input"] = json!(true), "apply_b_dec_to_input is true");
    check(|c| c["sae"]["hidden"] = json!("gelu"), "sae.hidden is `gelu`, expected one of sigmoid, relu, tanh");
    check(|c| c["sae"]["reconstruction"] = json!("mae"), "sae.reconstruction is `mae`, expected one of squared, bce");
    check(|c| c["sae"]["convention"] = json!("per_pixel"), "sae.convention");
    check(|c| c["sae"]["rho"] = json!(null), "null");
    check(|c| c["sae"]["image"] = json!([2, 2]), "sae.image is 2 x 2, expected height x width = d_in = 3");
    check(|c| c["sae"]["image"] = json!([u64::MAX, 2]), "sae.image");
    check(|c| c["d_sae"] = json!(-1), "-1");
    check(|c| drop(c.as_object_mut().unwrap().remove("sae")), "missing field `sae`");
    let error = load_edited(|c| c["d_sae"] = json!(4)).unwrap_err().to_string();
    assert!(error.contains("shape of W_enc is [3, 2], expected [3, 4]"), "{error}");
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = ModelFile::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("cfg.json"), "{error}");
    sample().save(dir.path()).unwrap();
    fs::remove_file(dir.path().join(WEIGHTS_FILE)).unwrap();
    let error = ModelFile::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    assert!(load_weights_only(dir.path(), 3, 2).is_err());
}
