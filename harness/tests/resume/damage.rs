//! Checkpoints that were damaged on disk.

use sae_harness::Config;
use sae_harness::checkpoint::Store;
use sae_harness::train::{Silent, Trainer};

use crate::common::Sae;
use crate::run::checkpoints;

/// Every length and every bit of the header of a real run's newest checkpoint, and of a share of its data: the one before it
/// is found each time.
#[test]
fn a_checkpoint_cut_at_any_length_or_with_any_bit_of_its_header_flipped_is_never_taken() {
    let sae = Sae::new();
    sae.write("data.csv", b"1,2\n3,1\n2,2\n0,1\n");
    let pairs = [
        ("data.source", sae.path("data.csv").to_str().unwrap().to_owned()),
        ("model.d_hid", "1".to_owned()),
        ("data.validation", "0".to_owned()),
        ("data.test", "0".to_owned()),
    ];
    let config = Config::load(None, &pairs.map(|(k, v)| (k.to_owned(), v))).unwrap();
    let mut trainer = Trainer::new(config).unwrap();
    let store = Store::new(sae.folder.path(), 2);
    trainer.advance(&mut Silent).unwrap();
    store.save(trainer.checkpoint().unwrap()).unwrap();
    let older = store.newest().unwrap().unwrap().checkpoint;
    trainer.advance(&mut Silent).unwrap();
    let path = store.save(trainer.checkpoint().unwrap()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;

    let never_taken = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let found = store.newest().unwrap().unwrap_or_else(|| panic!("{what}: nothing found"));
        assert_eq!((found.checkpoint.step, found.unusable.len()), (1, 1), "{what}");
        assert!(found.checkpoint == older, "{what}");
    };
    for length in 0..whole.len() {
        never_taken(&whole[..length], &format!("cut at {length} of {}", whole.len()));
    }
    let mut bytes = whole.clone();
    for bit in 0..8 * whole.len() {
        assert!(header < whole.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        never_taken(&bytes, &format!("bit {bit} flipped, the header ends at {}", 8 * header));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(store.newest().unwrap().unwrap().checkpoint.step, 2);
}

#[test]
fn a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before_to_the_same_end() {
    const RUN: &str = "--model.d_hid 9 --train.max_steps 12 --train.checkpoint_steps 3";
    let sae = Sae::new();
    let reference = sae.reference(RUN);
    sae.done(&format!("train {RUN} --out run -q"));
    let newest = sae.path("run/checkpoints").join(checkpoints(&sae.path("run")).pop().unwrap());
    let whole = std::fs::read(&newest).unwrap();
    let mut flipped = whole.clone();
    for damaged in
        [Vec::new(), whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), vec![0; whole.len()], {
            flipped[whole.len() / 3] ^= 4;
            flipped
        }]
    {
        std::fs::write(&newest, damaged).unwrap();
        let output = sae.run("train --resume run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let told = "step-0000000012.safetensors: damaged: ";
        assert!(text.contains(told) && text.contains("goes on after step 9 of 12"), "{text}");
        reference.assert_same(&sae.path("run"), "damaged");
        let names = checkpoints(&sae.path("run"));
        assert!(names.contains(&"step-0000000012.safetensors.damaged".to_owned()), "{names:?}");
    }
    for name in checkpoints(&sae.path("run")) {
        std::fs::write(sae.path("run/checkpoints").join(name), b"").unwrap();
    }
    sae.refused("train --resume run", &["no checkpoint can be used", "step-0000000009.safetensors: damaged"]);
}
