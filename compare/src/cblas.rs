//! Any library with the C interface of BLAS, loaded at run time.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use libloading::Library;
use sae_kernels::ops::Form;
use sae_kernels::{Product, Sgemm};

type CblasSgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);
type SetThreads = unsafe extern "C" fn(c_int);
/// BLIS counts in its `dim_t`, 64 bits wide by default.
type SetThreadsWide = unsafe extern "C" fn(i64);

const ROW_MAJOR: c_int = 101;
const NO_TRANS: c_int = 111;
const TRANS: c_int = 112;

/// Where the number of threads is set.
#[derive(Clone, Copy)]
enum Threads {
    Int(SetThreads),
    Wide(SetThreadsWide),
    /// The library has no such function: it runs on what its environment says.
    Fixed,
}

/// `cblas_sgemm` of a library with 32-bit indices; `scipy_cblas_sgemm` of an OpenBLAS as SciPy packages it.
pub(crate) struct Cblas {
    sgemm: CblasSgemm,
    threads: Threads,
    /// Keeps the code of the functions above in memory.
    _library: Library,
}

impl Cblas {
    /// Loads the library, and returns what it says of its build.
    ///
    /// # Errors
    /// Where it cannot be loaded or has no `cblas_sgemm`.
    pub(crate) fn load(path: &Path) -> Result<(Self, String)> {
        let shown = path.file_name().map_or_else(|| PathBuf::from(path), PathBuf::from);
        let shown = shown.display();
        let library = open(path).with_context(|| format!("--cblas: {shown} cannot be loaded"))?;
        // SAFETY: the functions have the types that the interface of BLAS, and the manuals of OpenBLAS, MKL and BLIS, give them.
        unsafe {
            let found = |name: &[u8]| library.get::<CblasSgemm>(name).map(|f| *f);
            let Ok(sgemm) = found(b"cblas_sgemm\0").or_else(|_| found(b"scipy_cblas_sgemm\0")) else {
                bail!(
                    "--cblas: {shown} has no function `cblas_sgemm`, expected a library with the C interface of BLAS"
                );
            };
            let threads = if let Ok(set) = library.get::<SetThreads>(b"openblas_set_num_threads\0") {
                Threads::Int(*set)
            } else if let Ok(set) = library.get::<SetThreads>(b"scipy_openblas_set_num_threads\0") {
                Threads::Int(*set)
            } else if let Ok(set) = library.get::<SetThreads>(b"MKL_Set_Num_Threads\0") {
                Threads::Int(*set)
            } else if let Ok(set) = library.get::<SetThreadsWide>(b"bli_thread_set_num_threads\0") {
                Threads::Wide(*set)
            } else {
                Threads::Fixed
            };
            let build = build(&library).unwrap_or_else(|| "says nothing of its build".to_owned());
            Ok((Self { sgemm, threads, _library: library }, format!("{shown}: {build}")))
        }
    }
}

/// With the library's own functions before those of another BLAS in this process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix;
    const RTLD_DEEPBIND: c_int = 8;
    // SAFETY: a library that the user has named; its initialisers are trusted as the program itself is.
    unsafe { unix::Library::open(Some(path), unix::RTLD_NOW | unix::RTLD_LOCAL | RTLD_DEEPBIND) }.map(Library::from)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: a library that the user has named; its initialisers are trusted as the program itself is.
    unsafe { Library::new(path) }
}

/// What the library says of its build.
///
/// # Safety
/// Functions of these names have the types that the manuals of OpenBLAS, BLIS and MKL give them.
unsafe fn build(library: &Library) -> Option<String> {
    // SAFETY: the caller's; the strings are static, and MKL's ends within the buffer.
    unsafe {
        for name in [&b"openblas_get_config\0"[..], b"scipy_openblas_get_config\0", b"bli_info_get_version_str\0"] {
            if let Ok(text) = library.get::<unsafe extern "C" fn() -> *const c_char>(name) {
                return Some(CStr::from_ptr(text()).to_string_lossy().into_owned());
            }
        }
        let text = library.get::<unsafe extern "C" fn(*mut c_char, c_int)>(b"MKL_Get_Version_String\0").ok()?;
        let mut buffer = [0u8; 200];
        text(buffer.as_mut_ptr().cast::<c_void>().cast(), buffer.len() as c_int - 1);
        CStr::from_bytes_until_nul(&buffer).ok().map(|text| text.to_string_lossy().trim().to_owned())
    }
}

fn int(what: usize) -> c_int {
    c_int::try_from(what).expect("`max_dim` keeps larger ones away")
}

impl Product for Cblas {
    fn max_dim(&self) -> usize {
        c_int::MAX as usize
    }

    fn sgemm(&mut self, mut op: Sgemm<'_>) {
        let ([m, n, k], form) = (op.dims(), op.form());
        let trans_a = if form == Form::Nn { NO_TRANS } else { TRANS };
        let beta = if op.accumulate() { 1.0 } else { 0.0 };
        let threads = rayon::current_num_threads();
        let ((a, lda), (b, ldb), (c, ldc)) = op.operands();
        // SAFETY: `Sgemm` holds each operand over its shape and stride, and `c` alone; the library is still loaded.
        unsafe {
            match self.threads {
                Threads::Int(set) => set(int(threads)),
                Threads::Wide(set) => set(threads as i64),
                Threads::Fixed => {}
            }
            (self.sgemm)(
                ROW_MAJOR,
                trans_a,
                NO_TRANS,
                int(m),
                int(n),
                int(k),
                1.0,
                a.as_ptr(),
                int(lda),
                b.as_ptr(),
                int(ldb),
                beta,
                c.as_mut_ptr(),
                int(ldc),
            );
        }
    }
}
