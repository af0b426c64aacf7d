//! `sae encode`.

use std::path::Path;

use npyz::WriterBuilder;
use sae_kernels::BackendKind;
use serde_json::json;

use super::args::EncodeArgs;
use super::{output, system};
use crate::atomic;
use crate::data::{Dataset, load};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::stack::Stack;

pub(super) fn run(args: EncodeArgs) -> Result {
    let kind = args.on.backend.parse()?;
    check_out(&args.out)?;
    let pool = system::pool(args.on.threads)?;
    pool.install(|| {
        let mut set = load(&args.of.data, args.seed)?;
        let mut model = Encoder::load(&args.of.model, kind)?;
        model.prepare(&mut set)?;
        let shape = [set.rows as u64, model.d_hid() as u64];
        let mut refused = None;
        let written = atomic::replace(&args.out, |out| {
            let mut file = npyz::WriteOptions::<f32>::new().default_dtype().shape(&shape).writer(out).begin_nd()?;
            let done = model.encode(&set.data, |h| {
                file.extend(h.iter().copied()).map_err(|error| Error::Write { path: args.out.clone(), error })
            });
            if let Err(error) = done {
                refused = Some(error);
                return Err(std::io::ErrorKind::Other.into());
            }
            file.finish()
        });
        if let Some(error) = refused {
            return Err(error);
        }
        written.map_err(|e| Error::Failed(format!("cannot be written: {e}")))?;
        if args.json {
            let out = args.out.display().to_string();
            return output::print_json(
                &json!({ "out": out, "rows": set.rows, "d_hid": model.d_hid(), "dtype": "f32" }),
            );
        }
        output::print(&format!("{}: {} x {}, f32\n", args.out.display(), set.rows, model.d_hid()))
    })
}

/// What makes features of data.
enum Encoder {
    Model(Box<Model>),
    Stack(Box<Stack>, BackendKind),
}

impl Encoder {
    fn load(path: &Path, kind: BackendKind) -> Result<Self> {
        match Stack::is_at(path) {
            true => Ok(Self::Stack(Box::new(Stack::load(path)?), kind)),
            false => Ok(Self::Model(Box::new(Model::load(path, kind)?))),
        }
    }

    fn prepare(&self, set: &mut Dataset) -> Result {
        match self {
            Self::Model(model) => model.prepare(set),
            Self::Stack(stack, _) => stack.prepare(set),
        }
    }

    fn d_hid(&self) -> usize {
        match self {
            Self::Model(model) => model.d_hid(),
            Self::Stack(stack, _) => stack.d_out(),
        }
    }

    fn encode(&mut self, data: &[f32], each: impl FnMut(&[f32]) -> Result) -> Result {
        match self {
            Self::Model(model) => model.encode(data, each),
            Self::Stack(stack, kind) => stack.encode(*kind, data, each),
        }
    }
}

/// Refuses a name that is no file's, or whose folder is not there, before anything is computed.
fn check_out(out: &Path) -> Result {
    let refuse = |found: &str| {
        Err(Error::setting(
            format!("--out {}", out.display()),
            found,
            "a file NAME.npy in a folder that can be written",
        ))
    };
    if out.extension().is_none_or(|extension| extension != "npy") {
        return refuse("the name does not end in .npy");
    }
    if out.is_dir() {
        return refuse("this is a folder");
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse("its folder does not exist");
    }
    let probe = tempfile_in(folder);
    probe.map_or_else(|e| refuse(&format!("its folder cannot be written: {}", e.kind())), |()| Ok(()))
}

/// Makes and removes a file in `folder`.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".sae-encode.{}.tmp", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)
}
