//! Real libpam from a private folder of PAM services: a whole call, and what the user was shown.

#![allow(unsafe_code, reason = "the application's side of libpam")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use pam_sys::raw::{
    pam_acct_mgmt, pam_chauthtok, pam_close_session, pam_end, pam_getenv, pam_open_session, pam_putenv,
    pam_set_item,
};
use pam_sys::types::{PamConversation, PamHandle, PamItemType, PamMessage, PamResponse};

pub(crate) const SUCCESS: c_int = 0;
pub(crate) const PERM_DENIED: c_int = 6;
pub(crate) const PROMPT_ECHO_OFF: c_int = 1;
pub(crate) const PROMPT_ECHO_ON: c_int = 2;

unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const PamConversation,
        confdir: *const c_char,
        pamh: *mut *mut PamHandle,
    ) -> c_int;
}

/// The module that the tests load. `cargo test` builds it, as an example; `cargo test --test NAME` alone does not.
pub(crate) fn module() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let profile = exe.ancestors().find(|dir| dir.join("deps").is_dir()).expect("target/PROFILE");
    let module = profile.join("examples/libpam_stint_test.so");
    let built = module.metadata().and_then(|m| m.modified()).unwrap_or_else(|e| {
        panic!("{}: {e}: run `cargo test -p stint-pam`, without --test", module.display())
    });
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in [sources.join("src"), sources.join("tests/module")] {
        for source in std::fs::read_dir(dir).unwrap().flatten() {
            let changed = source.metadata().and_then(|m| m.modified()).unwrap();
            assert!(
                changed <= built,
                "{} is newer than the module: run `cargo test -p stint-pam`, without --test",
                source.path().display()
            );
        }
    }
    module
}

/// What the user was shown, and what they answer, at an address that stays.
#[derive(Default)]
struct Shown {
    lines: Vec<(c_int, String)>,
    /// The next ones first. Without any nobody is there, as in a login by key.
    answers: std::collections::VecDeque<&'static str>,
}
/// Nobody can answer.
const CONV_ERR: c_int = 19;

/// What the application tells, and what was shown to its user.
pub(crate) struct Session {
    pamh: *mut PamHandle,
    shown: Box<Shown>,
    last: c_int,
}

extern "C" fn converse(
    count: c_int,
    messages: *mut *mut PamMessage,
    responses: *mut *mut PamResponse,
    shown: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).expect("a count");
    // SAFETY: libpam gives `count` messages and takes as many responses, allocated by malloc; `shown` is the box of `Session`.
    unsafe {
        let shown = &mut *shown.cast::<Shown>();
        *responses = libc::calloc(count, size_of::<PamResponse>()).cast();
        for i in 0..count {
            let message = **messages.add(i);
            let text = CStr::from_ptr(message.msg).to_string_lossy().into_owned();
            shown.lines.push((message.msg_style, text));
            if matches!(message.msg_style, PROMPT_ECHO_OFF | PROMPT_ECHO_ON) {
                let Some(answer) = shown.answers.pop_front() else {
                    libc::free((*responses).cast());
                    *responses = std::ptr::null_mut();
                    return CONV_ERR;
                };
                let answer = CString::new(answer).expect("no NUL");
                (**responses.add(i)).resp = libc::strdup(answer.as_ptr());
            }
        }
    }
    SUCCESS
}

impl Session {
    pub(crate) fn start(confdir: &Path, service: &str, user: &str) -> Self {
        let mut shown = Box::<Shown>::default();
        let conversation = PamConversation { conv: Some(converse), data_ptr: (&raw mut *shown).cast() };
        let mut pamh = std::ptr::null_mut();
        let (service, user) = (CString::new(service).unwrap(), CString::new(user).unwrap());
        let confdir = CString::new(confdir.to_str().unwrap()).unwrap();
        // SAFETY: all are C strings; libpam copies them and the conversation, whose data lives as long as `Session`.
        let code = unsafe {
            pam_start_confdir(
                service.as_ptr(),
                user.as_ptr(),
                &raw const conversation,
                confdir.as_ptr(),
                &raw mut pamh,
            )
        };
        assert_eq!(code, SUCCESS, "pam_start_confdir");
        Self { pamh, shown, last: SUCCESS }
    }
    fn set(self, item: PamItemType, value: &str) -> Self {
        let value = CString::new(value).unwrap();
        // SAFETY: the handle is live, and libpam copies the string.
        assert_eq!(unsafe { pam_set_item(self.pamh, item as c_int, value.as_ptr().cast()) }, SUCCESS);
        self
    }
    pub(crate) fn caller(self, name: &str) -> Self {
        self.set(PamItemType::RUSER, name)
    }
    pub(crate) fn remote(self, host: &str) -> Self {
        self.set(PamItemType::RHOST, host)
    }
    pub(crate) fn terminal(self, tty: &str) -> Self {
        self.set(PamItemType::TTY, tty)
    }
    /// As sudo and doas do between the phases.
    pub(crate) fn becoming(self, user: &str) -> Self {
        self.set(PamItemType::USER, user)
    }
    pub(crate) fn variable(self, name: &str, value: &str) -> Self {
        let pair = CString::new(format!("{name}={value}")).unwrap();
        // SAFETY: the handle is live, and libpam copies the string.
        assert_eq!(unsafe { pam_putenv(self.pamh, pair.as_ptr()) }, SUCCESS);
        self
    }
    /// What the user answers when they are asked, one after the other.
    pub(crate) fn answering(mut self, answers: &[&'static str]) -> Self {
        self.shown.answers = answers.iter().copied().collect();
        self
    }
    /// The prompts that the user was shown, each with its style.
    pub(crate) fn prompts(&self) -> Vec<(c_int, &str)> {
        let prompts =
            self.shown.lines.iter().filter(|(style, _)| matches!(*style, PROMPT_ECHO_OFF | PROMPT_ECHO_ON));
        prompts.map(|(style, text)| (*style, text.as_str())).collect()
    }
    pub(crate) fn account(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.last = unsafe { pam_acct_mgmt(self.pamh, 0) };
        self.last
    }
    /// As sudo calls.
    pub(crate) fn account_silently(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.last = unsafe { pam_acct_mgmt(self.pamh, 0x8000) };
        self.last
    }
    pub(crate) fn open(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.last = unsafe { pam_open_session(self.pamh, 0) };
        self.last
    }
    pub(crate) fn close(&mut self) -> c_int {
        // SAFETY: the handle is live.
        self.last = unsafe { pam_close_session(self.pamh, 0) };
        self.last
    }
    /// The lines that the user was shown.
    pub(crate) fn shown(&self) -> Vec<&str> {
        self.shown.lines.iter().map(|(_, text)| text.as_str()).collect()
    }
    /// The one line that the user was shown.
    pub(crate) fn line(&self) -> &str {
        let [(_, line)] = self.shown.lines.as_slice() else { panic!("not one line: {:?}", self.shown.lines) };
        line
    }
    /// What pam_systemd would read; the module of the tests tells it in its password phase.
    pub(crate) fn limit(&self) -> Option<u64> {
        // SAFETY: the handle is live, and the value is copied at once.
        unsafe {
            assert_eq!(pam_chauthtok(self.pamh, 0), SUCCESS);
            let value = pam_getenv(self.pamh, c"STINT_TEST_LIMIT".as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_str().unwrap().parse().unwrap())
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle is live and not used again.
        unsafe { pam_end(self.pamh, self.last) };
    }
}
