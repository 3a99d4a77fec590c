//! A small picture of a picture, for the message that tells of it. The file itself is sent as it is.
//!
//! Only one's own pictures are decoded, and within bounds; what can't be is sent without a preview.

use std::{
    fs::File,
    io::{BufReader, Cursor},
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder, metadata::Orientation,
};
use qpc_proto::limits::PREVIEW_MAX;

/// Longest side of a preview, in pixels.
const SIDE: u32 = 256;
/// Longest side of a picture that is decoded, in pixels.
const DECODED_SIDE_MAX: u32 = 16_384;
/// Memory for decoding one, in bytes: 64 million pixels.
const DECODED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Qualities of JPEG, one of which makes it small enough.
const QUALITIES: [u8; 3] = [75, 50, 25];

/// A JPEG of at most `PREVIEW_MAX` bytes; `None` where there is nothing to see, or it can't be made.
pub(super) fn preview(file: &mut File, media_type: &str) -> Option<Vec<u8>> {
    let format = match media_type {
        "image/png" => ImageFormat::Png,
        "image/jpeg" => ImageFormat::Jpeg,
        "image/gif" => ImageFormat::Gif,
        "image/webp" => ImageFormat::WebP,
        _ => return None,
    };
    match small(file, format) {
        Ok(picture) => encoded(&picture),
        Err(error) => {
            tracing::debug!(%error, "no preview of a picture");
            None
        }
    }
}

fn small(file: &mut File, format: ImageFormat) -> Result<DynamicImage, image::ImageError> {
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(DECODED_SIDE_MAX);
    limits.max_image_height = Some(DECODED_SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if picture.width() > SIDE || picture.height() > SIDE {
        picture = picture.thumbnail(SIDE, SIDE);
    }
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn encoded(picture: &DynamicImage) -> Option<Vec<u8>> {
    let picture = picture.to_rgb8();
    QUALITIES.iter().find_map(|quality| {
        let mut bytes = Cursor::new(Vec::new());
        JpegEncoder::new_with_quality(&mut bytes, *quality).encode_image(&picture).ok()?;
        Some(bytes.into_inner()).filter(|bytes| bytes.len() <= PREVIEW_MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use image::{Rgb, RgbImage};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y)));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_picture_has_a_small_one() {
        let noise = |x: u32, y: u32| {
            let [red, green, blue, _] =
                (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503).wrapping_mul(x | 1)).to_be_bytes();
            [red, green, blue]
        };
        let slope = |x: u32, y: u32| [x.to_le_bytes()[0], y.to_le_bytes()[0], 7];
        for bytes in [png(1_000, 500, slope), png(600, 600, noise), png(1, 1, |_, _| [1, 2, 3])] {
            let small = preview(&mut file(&bytes), "image/png").unwrap();
            assert!(small.len() <= PREVIEW_MAX);
            let read = image::load_from_memory_with_format(&small, ImageFormat::Jpeg).unwrap();
            assert!(read.width() <= SIDE && read.height() <= SIDE);
        }
    }

    #[test]
    fn a_picture_stands_upright_as_its_camera_says() {
        let mut lying = Cursor::new(Vec::new());
        RgbImage::new(40, 20).write_to(&mut lying, ImageFormat::Jpeg).unwrap();
        // EXIF behind the first marker: one entry, orientation 6, which is a quarter turn.
        let exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut bytes = lying.into_inner();
        bytes.splice(2..2, exif.iter().copied());
        let small = preview(&mut file(&bytes), "image/jpeg").unwrap();
        let read = image::load_from_memory_with_format(&small, ImageFormat::Jpeg).unwrap();
        assert_eq!((read.width(), read.height()), (20, 40));
    }

    #[test]
    fn what_is_no_picture_or_a_huge_one_has_none() {
        assert_eq!(preview(&mut file(b"\x89PNG\r\n\x1a\nnot really"), "image/png"), None);
        assert_eq!(preview(&mut file(b"text"), "text/plain"), None);
        assert_eq!(preview(&mut file(&[0xff, 0xd8, 0xff, 0xe0, 0]), "image/jpeg"), None);
        // A few bytes that claim to be 60,000 by 60,000 pixels.
        let mut bomb = png(2, 2, |_, _| [0; 3]);
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        assert_eq!(preview(&mut file(&bomb), "image/png"), None);
    }
}
