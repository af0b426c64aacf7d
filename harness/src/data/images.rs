//! Photographs and other images as samples: patches cut out of them, or small images whole.

mod picture;

use std::path::{Path, PathBuf};

use super::element::reserved;
use super::source::{Source, has_extension};
use super::split::{Stream, below, rng};
use super::{Dataset, element};
use crate::error::{Error, Result, excerpt, nearest};
use crate::paths::file_name;

use picture::{Header, Picture};

/// How samples are cut from a PNG or JPEG image, or from a folder of them, in the order of their names.
///
/// As a data source: `photo.png` or `folder`, or with any of the fields, `photo.png:patch=12,stride=6,color=rgb`. A
/// sample is a patch, row by row, a pixel a value (three, red, green and blue, with `color=rgb`), from 0 to 255; 16-bit
/// images are divided by 257. Grey is `0.299·R + 0.587·G + 0.114·B` (ITU-R BT.601). Transparency is left out.
///
/// Without a patch size, images of one size of up to 64×64 are taken whole, a row each, and of others patches of 8×8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// `patch=8`: the side of a patch, `patch=0`: the image whole.
    pub patch: Option<usize>,
    /// `stride=4`: the distance between neighbouring patches; that of the patch, so that none overlap, without.
    pub stride: Option<usize>,
    /// `count=10000`: so many patches from places drawn by the seed, any place as likely as another, instead of all.
    pub count: Option<usize>,
    /// `color=rgb` or `color=grey`.
    pub color: Color,
}

/// What of a pixel is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// One value.
    #[default]
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Color {
    const fn values(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Images up to this side are taken whole where no patch size is given.
const SMALL: usize = 64;
/// The side of a patch where none is given.
const PATCH: usize = 8;
/// The place of the parameters in messages.
const PLACE: &str = "data.source image";

/// Whether the folder has an image in it.
pub(super) fn in_folder(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_image(&entry.path())))
}

fn is_image(path: &Path) -> bool {
    ["png", "jpg", "jpeg"].iter().any(|extension| has_extension(path, extension)) && path.is_file()
}

impl Images {
    /// Reads `patch=8,stride=4,count=10000,color=rgb`, any of them.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(parameters: &str) -> Result<Self> {
        const KEYS: [&str; 4] = ["patch", "stride", "count", "color"];
        let mut images = Self::default();
        for part in parameters.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            let wrong = |expected: &str| Error::setting(format!("{PLACE}: {}", excerpt(key)), excerpt(value), expected);
            let count = |least: usize, expected| match value.parse() {
                Ok(number) if number >= least => Ok(Some(number)),
                _ => Err(wrong(expected)),
            };
            match key {
                "patch" => images.patch = count(0, "the side of a patch in pixels, or 0 for whole images")?,
                "stride" => images.stride = count(1, "a whole number of pixels, at least 1")?,
                "count" => images.count = count(1, "a whole number of patches, at least 1")?,
                "color" => {
                    images.color = match value {
                        "grey" => Color::Grey,
                        "rgb" => Color::Rgb,
                        _ => return Err(wrong("grey or rgb")),
                    }
                }
                _ => {
                    return Err(Error::Setting {
                        place: PLACE.to_owned(),
                        found: format!("unknown parameter `{}`", excerpt(key)),
                        expected: format!("one of: {}", KEYS.join(", ")),
                        nearest: nearest(key, KEYS).map(str::to_owned),
                    });
                }
            }
        }
        if images.stride.is_some() && images.count.is_some() {
            return Err(Error::setting(PLACE, "both stride and count", "one of them: places in a grid, or drawn"));
        }
        Ok(images)
    }

    /// Cuts samples from the images of a folder, or from those of a file.
    ///
    /// # Errors
    /// [`Error::Input`] where a file is no whole image, or the images do not fit each other or the patch; those of
    /// reading.
    pub fn load(self, path: &Path, seed: u64) -> Result<Dataset> {
        if !path.is_dir() {
            return self.read(Source::open(path)?, seed);
        }
        let entries = std::fs::read_dir(path).map_err(|e| Error::read(path, e))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|path| is_image(path)).collect();
        if files.is_empty() {
            return Err(Error::input(path.display(), "there is no image in this folder", "PNG or JPEG images"));
        }
        files.sort();
        self.cut(&path.display().to_string(), file_name(path), files.len(), |index| Source::open(&files[index]), seed)
    }

    /// Cuts samples from one image.
    pub(super) fn read(self, source: Source, seed: u64) -> Result<Dataset> {
        let (file, name) = (source.name.clone(), source.short_name());
        let mut source = Some(source);
        let mut bytes = Vec::new();
        if let Some(mut source) = source.take() {
            bytes = picture::whole(&mut source)?;
        }
        self.cut(&file, name, 1, |_| Ok(Source::of_bytes(&file, &bytes)), seed)
    }

    /// Samples from `count` images, each of which `open` opens as often as it is asked.
    fn cut<'a>(
        self,
        file: &str,
        name: String,
        count: usize,
        open: impl Fn(usize) -> Result<Source<'a>>,
        seed: u64,
    ) -> Result<Dataset> {
        let headers: Vec<Header> = (0..count).map(|i| Header::read(&mut open(i)?)).collect::<Result<_>>()?;
        let of_one_size = headers.iter().all(|h| h.size() == headers[0].size());
        let (height, width) = match self.patch {
            Some(side) if side > 0 => (side, side),
            None if !(of_one_size && headers[0].height.max(headers[0].width) <= SMALL) => (PATCH, PATCH),
            _ if !of_one_size => {
                let other = headers.iter().position(|h| h.size() != headers[0].size()).unwrap_or(0);
                let found = format!("its images have sizes {} and {}", headers[0].shown(), headers[other].shown());
                return Err(Error::input(file, found, "images of one size, or a patch size (:patch=8)"));
            }
            _ => headers[0].size(),
        };
        if let Some((i, small)) = headers.iter().enumerate().find(|(_, h)| h.height < height || h.width < width) {
            let expected = format!("at least the patch, {height} x {width}");
            return Err(Error::input(&open(i)?.name, format!("the image has {} pixels", small.shown()), expected));
        }
        let places = Places::choose(&headers, (height, width), self.stride, self.count, seed, file)?;
        let cols = element::element_count(&[height as u64, width as u64, self.color.values() as u64], 4);
        let size = cols.and_then(|cols| cols.checked_mul(places.count).map(|size| (cols, size)));
        let Some((cols, size)) = size.filter(|&(_, size)| size <= isize::MAX as usize / 4) else {
            return Err(Error::input(file, format!("{} patches", places.count), "a size that fits in memory"));
        };
        let mut data: Vec<f32> = Vec::new();
        for (index, header) in headers.iter().enumerate() {
            let picture = Picture::decode(&mut open(index)?, self.color)?;
            if picture.size() != header.size() {
                return Err(Error::input(file, "it has changed while it was read", "images that stay as they are"));
            }
            if data.capacity() == 0 {
                // Only now: a file that is no image takes no more memory than its pixels.
                data = reserved(size, file)?;
            }
            places.of(index, |top, left| picture.patch(top, left, height, width, &mut data));
        }
        let image = (self.color == Color::Grey).then_some((height, width));
        Ok(Dataset { name, rows: places.count, cols, data, image, labels: None })
    }
}

/// Where patches are cut.
struct Places {
    grids: Vec<Grid>,
    /// Of drawn patches, the image and the place in it, in order.
    drawn: Option<Vec<(usize, u64)>>,
    /// Patches in all.
    count: usize,
}

/// The places of one image: `rows·cols`, `stride` apart.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Places {
    fn choose(
        headers: &[Header],
        (height, width): (usize, usize),
        stride: Option<usize>,
        count: Option<usize>,
        seed: u64,
        file: &str,
    ) -> Result<Self> {
        let (down, along) = match (count, stride) {
            (Some(_), _) => (1, 1),
            (None, Some(stride)) => (stride, stride),
            (None, None) => (height, width),
        };
        // One stride serves both ways; without one, whole images have a single place and patches are square.
        let stride = down.min(along);
        let grid =
            |h: &Header| Grid { rows: (h.height - height) / stride + 1, cols: (h.width - width) / stride + 1, stride };
        let grids: Vec<Grid> = headers.iter().map(grid).collect();
        let of = |grid: &Grid| grid.rows as u64 * grid.cols as u64;
        // Sides are below 2³², images are files: no sum of products gets near 2⁶⁴.
        let total: u64 = grids.iter().map(of).sum();
        let Some(count) = count else {
            return Ok(Self { grids, drawn: None, count: total as usize });
        };
        let mut rng = rng(seed, Stream::Patches);
        let mut places: Vec<u64> = reserved(count, file)?;
        places.extend((0..count).map(|_| below(&mut rng, total)));
        places.sort_unstable();
        let (mut index, mut before) = (0, 0);
        let mut drawn = reserved(count, file)?;
        for place in places {
            while place - before >= of(&grids[index]) {
                before += of(&grids[index]);
                index += 1;
            }
            drawn.push((index, place - before));
        }
        Ok(Self { grids, drawn: Some(drawn), count })
    }

    /// Hands `cut` the top left corners in the image `index`.
    fn of(&self, index: usize, mut cut: impl FnMut(usize, usize)) {
        let grid = self.grids[index];
        let mut place = |place: usize| cut(place / grid.cols * grid.stride, place % grid.cols * grid.stride);
        match &self.drawn {
            None => (0..grid.rows * grid.cols).for_each(place),
            Some(drawn) => {
                let first = drawn.partition_point(|&(i, _)| i < index);
                drawn[first..].iter().take_while(|&&(i, _)| i == index).for_each(|&(_, at)| place(at as usize));
            }
        }
    }
}

#[cfg(test)]
mod tests;
