//! An X server, as small as a client needs to find a display: it lets in whoever has its cookie, and knows no extension. There is nothing
//! to see on it; it tells who came.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::E2eError;

/// Where clients look for displays of their own machine.
const SOCKETS: &str = "/tmp/.X11-unix";
/// How clients and server call a cookie.
const METHOD: &[u8] = b"MIT-MAGIC-COOKIE-1";
/// Displays below are people's own.
const FIRST_DISPLAY: u32 = 1000;
/// Requests that a client waits for: QueryExtension, GetProperty, GetInputFocus.
const ANSWERED: [u8; 3] = [98, 20, 43];

/// A display of this machine. It is gone when this is dropped.
#[derive(Debug)]
pub struct XServer {
    number: u32,
    socket: PathBuf,
    cookie: [u8; 16],
    came: Arc<Mutex<Vec<bool>>>,
    over: Arc<AtomicBool>,
}

impl XServer {
    /// Opens a display that nobody else has, with a cookie of its own.
    pub fn start() -> Result<Self, E2eError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = std::process::id() % 10_000 * 4 + COUNT.fetch_add(1, Ordering::Relaxed) % 4;
        let number = FIRST_DISPLAY + own;
        let folder = Path::new(SOCKETS);
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(E2eError::file(folder))?;
            fs::set_permissions(folder, Permissions::from_mode(0o1777)).map_err(E2eError::file(folder))?;
        }
        let socket = folder.join(format!("X{number}"));
        let listener = UnixListener::bind(&socket).map_err(E2eError::file(&socket))?;
        let random = Path::new("/dev/urandom");
        let mut cookie = [0; 16];
        fs::File::open(random)
            .and_then(|mut file| file.read_exact(&mut cookie))
            .map_err(E2eError::file(random))?;
        let (came, over) = (Arc::<Mutex<Vec<bool>>>::default(), Arc::<AtomicBool>::default());
        let (told, ends) = (Arc::clone(&came), Arc::clone(&over));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let told = Arc::clone(&told);
                // A client that breaks off is none of the server's trouble.
                std::thread::spawn(move || serve(client, cookie, &told).ok());
            }
        });
        Ok(Self { number, socket, cookie, came, over })
    }

    /// Its name, for `DISPLAY`.
    pub fn display(&self) -> String {
        format!(":{}", self.number)
    }

    /// Its cookie, for `xauth add`.
    pub fn cookie(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.cookie)
    }

    /// Who came so far: whether each had the cookie.
    pub fn came(&self) -> Vec<bool> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for XServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It hears of the end by one more client.
        let _ = UnixStream::connect(&self.socket);
        if let Err(error) = fs::remove_file(&self.socket) {
            eprintln!("stint-e2e: {}: {error}", self.socket.display());
        }
    }
}

/// One client, until it leaves.
fn serve(mut client: UnixStream, cookie: [u8; 16], told: &Mutex<Vec<bool>>) -> io::Result<()> {
    let mut hello = [0; 12];
    client.read_exact(&mut hello)?;
    let [_, _, _, _, _, _, name, name_high, data, data_high, ..] = hello;
    let name = padded(&mut client, u16::from_le_bytes([name, name_high]))?;
    let data = padded(&mut client, u16::from_le_bytes([data, data_high]))?;
    // It speaks the language of machines with the small end first.
    let welcome = hello[0] == b'l' && name == METHOD && data == cookie;
    told.lock().unwrap_or_else(PoisonError::into_inner).push(welcome);
    if !welcome {
        return client.write_all(b"\x00\x0c\x0b\x00\x00\x00\x03\x00wrong cookie");
    }
    client.write_all(&display())?;
    let mut number: u16 = 0;
    loop {
        let mut request = [0; 4];
        client.read_exact(&mut request)?;
        let [operation, _, length, length_high] = request;
        let words = u16::from_le_bytes([length, length_high]).max(1);
        io::copy(&mut Read::by_ref(&mut client).take(u64::from(words - 1) * 4), &mut io::sink())?;
        number = number.wrapping_add(1);
        if ANSWERED.contains(&operation) {
            // No such extension, no such property, nothing in focus: all of it is zeros.
            let mut answer = [0; 32];
            answer[0] = 1;
            answer[2..4].copy_from_slice(&number.to_le_bytes());
            client.write_all(&answer)?;
        }
    }
}

/// So many bytes, which are filled up to a multiple of four.
fn padded(client: &mut UnixStream, length: u16) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length).next_multiple_of(4)];
    client.read_exact(&mut bytes)?;
    bytes.truncate(usize::from(length));
    Ok(bytes)
}

/// What the server tells of itself: one screen of 640 by 480, with one depth and one visual.
fn display() -> Vec<u8> {
    const ROOT: u32 = 0x10;
    const COLOURS: u32 = 0x11;
    const VISUAL: u32 = 0x12;
    let mut told: Vec<u8> = Vec::new();
    let mut put = |bytes: &[u8]| told.extend_from_slice(bytes);
    let long = u32::to_le_bytes;
    let short = u16::to_le_bytes;
    // Release; the ids that the client may give; motion buffer; length of the vendor's name, longest request.
    for value in [1, 0x0020_0000, 0x001f_ffff, 0] {
        put(&long(value));
    }
    put(&short(4));
    put(&short(u16::MAX));
    // Screens, formats; orders of bytes and bits; unit and padding of a line; lowest and highest key; four unused.
    put(&[1, 1, 0, 0, 32, 32, 8, 255, 0, 0, 0, 0]);
    put(b"lab ");
    // The format: depth, bits of a pixel, padding.
    put(&[24, 32, 32, 0, 0, 0, 0, 0]);
    for value in [ROOT, COLOURS, 0x00ff_ffff, 0, 0] {
        put(&long(value));
    }
    // Size in pixels and in millimetres, colour maps at least and at most.
    for value in [640, 480, 170, 127, 1, 1] {
        put(&short(value));
    }
    put(&long(VISUAL));
    // Backing stores, save-unders, depth of the root, how many depths.
    put(&[0, 0, 24, 1]);
    put(&[24, 0, 1, 0, 0, 0, 0, 0]);
    put(&long(VISUAL));
    // TrueColor, bits of a colour, entries of a map.
    put(&[4, 8, 0, 1]);
    for value in [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0] {
        put(&long(value));
    }
    let words = u16::try_from(told.len() / 4).unwrap_or(u16::MAX);
    [&[1, 0, 11, 0, 0, 0], &words.to_le_bytes()[..], &told].concat()
}
