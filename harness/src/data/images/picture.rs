//! One image: what its header says, and its pixels.

use std::io::{Cursor, Read};

use png::Transformations;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Color;
use crate::data::element::{self, reserved};
use crate::data::source::Source;
use crate::error::{Error, Result, one_line};

/// What the beginning of an image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Pixels, 8 or 16 bits a value.
pub(super) struct Picture {
    header: Header,
    /// Values a pixel in `bytes`: grey, grey and alpha, RGB, RGBA.
    values: usize,
    /// Two bytes a value, the higher first.
    wide: bool,
    bytes: Vec<u8>,
    color: Color,
}

impl Header {
    pub(super) fn read(source: &mut Source) -> Result<Self> {
        match Format::of(source)? {
            Format::Png => Ok(png(source)?.1),
            Format::Jpeg => {
                let bytes = whole(source)?;
                Ok(jpeg(&bytes, &source.name, Color::Grey)?.1)
            }
        }
    }

    pub(super) fn size(self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(super) fn shown(self) -> String {
        format!("{} x {}", self.height, self.width)
    }
}

impl Picture {
    /// Decodes an image of which not a byte is missing. What follows its end is not looked at: cameras put things there.
    pub(super) fn decode(source: &mut Source, color: Color) -> Result<Self> {
        match Format::of(source)? {
            Format::Png => Self::decode_png(source, color),
            Format::Jpeg => {
                let bytes = whole(source)?;
                Self::decode_jpeg(&bytes, &source.name, color)
            }
        }
    }

    fn decode_png(source: &mut Source, color: Color) -> Result<Self> {
        let file = source.name.clone();
        let (mut reader, header) = png(source)?;
        let (kind, depth) = reader.output_color_type();
        let values = kind.samples();
        let size = reader.output_buffer_size().ok_or_else(|| too_large(&file, header))?;
        let mut bytes = reserved(size, &file)?;
        bytes.resize(size, 0);
        reader.next_frame(&mut bytes).map_err(|e| damaged(&file, e))?;
        reader.finish().map_err(|e| damaged(&file, e))?;
        Ok(Self { header, values, wide: depth == png::BitDepth::Sixteen, bytes, color })
    }

    fn decode_jpeg(input: &[u8], file: &str, color: Color) -> Result<Self> {
        let (mut decoder, header) = jpeg(input, file, color)?;
        let size = decoder.output_buffer_size().ok_or_else(|| too_large(file, header))?;
        let mut bytes = reserved(size, file)?;
        bytes.resize(size, 0);
        decoder.decode_into(&mut bytes).map_err(|e| damaged(file, e))?;
        // The decoder takes what is missing to be 0.
        if !has_end(input) {
            return Err(damaged(file, "it is cut off"));
        }
        Ok(Self { header, values: color.values(), wide: false, bytes, color })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.header.size()
    }

    /// Appends the pixels of the patch at `(top, left)`, which has to be inside.
    pub(super) fn patch(&self, top: usize, left: usize, height: usize, width: usize, to: &mut Vec<f32>) {
        for y in top..top + height {
            for x in left..left + width {
                let [r, g, b] = self.rgb(y * self.header.width + x);
                // In thousandths all of it is whole numbers; 65535 is 255·257.
                let scale = if self.wide { 257.0 } else { 1.0 };
                match self.color {
                    Color::Grey => to.push((f64::from(299 * r + 587 * g + 114 * b) / (1000.0 * scale)) as f32),
                    Color::Rgb => to.extend([r, g, b].map(|v| (f64::from(v) / scale) as f32)),
                }
            }
        }
    }

    fn rgb(&self, pixel: usize) -> [u32; 3] {
        let value = |channel: usize| {
            let at = pixel * self.values + channel;
            if self.wide {
                u32::from(u16::from_be_bytes([self.bytes[2 * at], self.bytes[2 * at + 1]]))
            } else {
                u32::from(self.bytes[at])
            }
        };
        if self.values < 3 { [value(0); 3] } else { [value(0), value(1), value(2)] }
    }
}

enum Format {
    Png,
    Jpeg,
}

impl Format {
    fn of(source: &mut Source) -> Result<Self> {
        let mut magic = [0u8; 3];
        let got = element::fill(source.start()?, &mut magic).map_err(|e| Error::read(&source.path, e))?;
        match &magic[..got] {
            [0x89, b'P', b'N'] => Ok(Self::Png),
            [0xFF, 0xD8, 0xFF] => Ok(Self::Jpeg),
            other => {
                let found = format!("the first bytes are {other:02x?}");
                Err(Error::input(&source.name, found, "a PNG or JPEG image"))
            }
        }
    }
}

/// All bytes of a file.
pub(super) fn whole(source: &mut Source) -> Result<Vec<u8>> {
    let len = usize::try_from(source.len).unwrap_or(usize::MAX);
    let mut bytes = reserved(len, &source.name)?;
    let limit = source.len;
    source.start()?.take(limit).read_to_end(&mut bytes).map_err(|e| Error::read(&source.path, e))?;
    Ok(bytes)
}

type PngReader<'a, 'b> = png::Reader<&'a mut (dyn crate::data::source::Bytes + 'b)>;

/// A decoder behind the header, whose size has been held against the file's.
fn png<'a, 'b>(source: &'a mut Source<'b>) -> Result<(PngReader<'a, 'b>, Header)> {
    let (file, len) = (source.name.clone(), source.len);
    let mut decoder = png::Decoder::new_with_limits(source.start()?, png::Limits { bytes: LARGEST_CHUNK });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(|e| damaged(&file, e))?;
    let header = Header { height: info.height as usize, width: info.width as usize };
    // A byte of deflate can become 1032, and a byte of 1-bit pixels a byte each, or four with a palette and alpha.
    let pixels = header.height as u64 * header.width as u64;
    let bits = info.bits_per_pixel() as u64;
    element::check_inflation(len, pixels.saturating_mul(bits).div_ceil(8), &file)?;
    check_size(header, info.color_type.samples().max(4) * if bits > 32 { 2 } else { 1 }, len, &file)?;
    let reader = decoder.read_info().map_err(|e| damaged(&file, e))?;
    // The decoder takes three bytes a color to be there (image-rs/image-png, issue 694).
    if let Some(palette) = reader.info().palette.as_deref().filter(|palette| palette.len() % 3 != 0) {
        return Err(damaged(&file, format!("a palette of {} bytes, which is not three a color", palette.len())));
    }
    Ok((reader, header))
}

/// What the PNG decoder may hold beside pixels: chunks, of which large ones say nothing about them.
const LARGEST_CHUNK: usize = 16 << 20;

/// The same for JPEG.
fn jpeg<'a>(bytes: &'a [u8], file: &str, color: Color) -> Result<(JpegDecoder<Cursor<&'a [u8]>>, Header)> {
    let out = match color {
        Color::Grey => ColorSpace::Luma,
        Color::Rgb => ColorSpace::RGB,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(u16::MAX.into())
        .set_max_height(u16::MAX.into())
        .jpeg_set_out_colorspace(out);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| damaged(file, e))?;
    let info = decoder.info().ok_or_else(|| damaged(file, "it has no header"))?;
    let header = Header { height: info.height.into(), width: info.width.into() };
    // A block of 8×8 takes at least a bit.
    if header.height as u64 * header.width as u64 / 64 / 8 > bytes.len() as u64 {
        return Err(too_large(file, header));
    }
    check_size(header, usize::from(info.components) * 3, bytes.len() as u64, file)?;
    Ok((decoder, header))
}

/// Whether a JPEG goes on to its last marker, `FF D9`. Segments are a marker and a length of two bytes that counts itself;
/// coded pixels follow the segment `FF DA` and hold `FF` only before `00` or as a restart marker. ITU-T T.81, annex B.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let (Some(0xFF), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        match marker {
            0xD9 => return true,
            // A fill byte.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
                if marker == 0xDA {
                    let pixels = bytes.get(at..).unwrap_or_default();
                    let next = pixels.windows(2).position(|w| w[0] == 0xFF && !matches!(w[1], 0 | 0xD0..=0xD7));
                    let Some(next) = next else { return false };
                    at += next;
                }
            }
        }
    }
}

/// Refuses an image that takes `bytes` a pixel to decode where that is out of proportion to its file.
fn check_size(header: Header, bytes: usize, len: u64, file: &str) -> Result {
    const HARMLESS: u64 = 48 << 20;
    const MOST: u64 = 200;
    let needed = (header.height as u64 * header.width as u64).saturating_mul(bytes as u64);
    if needed > HARMLESS && needed > len.saturating_mul(MOST) { Err(too_large(file, header)) } else { Ok(()) }
}

fn too_large(file: &str, header: Header) -> Error {
    Error::input(file, format!("the header claims {} pixels", header.shown()), "a size that fits the data")
}

fn damaged(file: &str, error: impl std::fmt::Display) -> Error {
    let mut text = one_line(&error.to_string());
    text.truncate(text.floor_char_boundary(200));
    Error::input(file, format!("it is damaged ({text})"), "a whole PNG or JPEG image")
}
