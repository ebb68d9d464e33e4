// The terminal side of line_reader.h, over libedit.
#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <functional>
#include <string>
#include <utility>

#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/line_reader.h"

namespace plimsoll::cli {
namespace {

constexpr int kHistoryLines = 1000;
constexpr char kCtrlD = '\x04';
constexpr int kIdleMs = 1000;

// Typed characters are decoded by the locale; any UTF-8 one serves where the user's is none.
void UseUtf8Locale() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
}

class Terminal final : public LineSource {
 public:
  Terminal(Interrupts& interrupts, const std::optional<std::filesystem::path>& history_path);
  ~Terminal() override;

  [[nodiscard]] Line Read(const std::string& prompt) override;
  void Remember(const std::string& text) override;
  void WhileIdle(const std::function<std::string()>& work) override { idle_work_ = work; }

 private:
  static char* Prompt(EditLine* editor);
  static int ReadCharacter(EditLine* editor, wchar_t* character);
  [[nodiscard]] int NextCharacter(wchar_t* character);
  [[nodiscard]] char Typed(char byte);
  void StartEditing();
  void ShowAbove(const std::string& lines);
  static Terminal& Of(EditLine* editor);
  void OpenHistory(const std::filesystem::path& path);

  Interrupts& interrupts_;
  EditLine* editor_;
  History* history_;
  std::string history_file_;  // empty: none
  std::string prompt_;
  std::function<std::string()> idle_work_;  // may be empty
  int n_typed_ahead_ = 0;  // bytes still to be read that came before the editing mode
  bool interrupted_ = false;
};

Terminal::Terminal(Interrupts& interrupts, const std::optional<std::filesystem::path>& history_path)
    : interrupts_(interrupts) {
  UseUtf8Locale();
  editor_ = el_init("plimsoll", stdin, stderr, stderr);
  history_ = history_init();
  HistEvent event;
  history(history_, &event, H_SETSIZE, kHistoryLines);
  history(history_, &event, H_SETUNIQUE, 1);
  el_set(editor_, EL_CLIENTDATA, this);
  el_set(editor_, EL_PROMPT_ESC, &Terminal::Prompt, '\1');
  el_set(editor_, EL_EDITOR, "emacs");
  el_set(editor_, EL_HIST, history, history_);
  el_set(editor_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(editor_, nullptr);  // the user's own bindings, ~/.editrc
  // On Ctrl-C the kernel would throw away what is on its way to the screen, after it has sent the
  // signal: now and then the very prompt that we answer with.
  el_set(editor_, EL_SETTY, "-d", "+noflsh", nullptr);
  el_set(editor_, EL_SETTY, "-x", "+noflsh", nullptr);
  // After all that, since the bindings of the user must not decide how characters arrive.
  el_set(editor_, EL_GETCFN, &Terminal::ReadCharacter);
  if (history_path) {
    OpenHistory(*history_path);
  }
}

Terminal::~Terminal() {
  history_end(history_);
  el_end(editor_);
}

void Terminal::OpenHistory(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  // Made before libedit writes to it, so that it is never readable by others.
  if (std::FILE* file = failed ? nullptr : std::fopen(path.c_str(), "ae")) {
    ::fchmod(::fileno(file), S_IRUSR | S_IWUSR);
    std::fclose(file);
    history_file_ = path.string();
    HistEvent event;
    history(history_, &event, H_LOAD, history_file_.c_str());
  }
}

Terminal& Terminal::Of(EditLine* editor) {
  void* self = nullptr;
  el_get(editor, EL_CLIENTDATA, &self);
  return *static_cast<Terminal*>(self);
}

char* Terminal::Prompt(EditLine* editor) { return Of(editor).prompt_.data(); }

int Terminal::ReadCharacter(EditLine* editor, wchar_t* character) {
  return Of(editor).NextCharacter(character);
}

// 1 with a character, 0 at the end of the input, -1 when interrupted.
int Terminal::NextCharacter(wchar_t* character) {
  std::mbstate_t state = {};
  while (true) {
    std::array<pollfd, 2> fds = {{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                  {.fd = interrupts_.wake_fd(), .events = POLLIN, .revents = 0}}};
    const int n_ready = ::poll(fds.data(), fds.size(), idle_work_ ? kIdleMs : -1);
    if (n_ready < 0) {
      continue;  // a signal, as when the window changes its size
    }
    if (n_ready == 0) {
      ShowAbove(idle_work_());
      continue;
    }
    if (fds[1].revents != 0) {
      interrupted_ = true;
      return -1;
    }
    char byte = 0;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return 0;
    }
    byte = Typed(byte);
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == static_cast<size_t>(-1)) {
      state = {};  // not a character of this locale: skip the byte
    } else if (used != static_cast<size_t>(-2)) {
      return 1;
    }
  }
}

// The byte of the key that was pressed. In line mode the kernel marks the place of a Ctrl-D by a
// zero byte (n_tty in Linux), and that is what a read delivers once the terminal has left line
// mode.
char Terminal::Typed(char byte) {
  if (n_typed_ahead_ == 0) {
    return byte;
  }
  --n_typed_ahead_;
  return byte == '\0' ? kCtrlD : byte;
}

// libedit shows the prompt first and takes the terminal out of line mode after it: what is typed
// between the two would show twice, and a Ctrl-C would find the line empty.
void Terminal::StartEditing() {
  el_set(editor_, EL_PREP_TERM, 1);
  // Counted after the change of mode, so that no byte from line mode is missed.
  if (::ioctl(STDIN_FILENO, FIONREAD, &n_typed_ahead_) != 0) {
    n_typed_ahead_ = 0;
  }
}

// Over the line that is being typed, which is shown again below.
void Terminal::ShowAbove(const std::string& lines) {
  if (!lines.empty()) {
    std::fprintf(stderr, "\r\x1b[K%s", lines.c_str());
    std::fflush(stderr);
    el_set(editor_, EL_REFRESH);
  }
}

Line Terminal::Read(const std::string& prompt) {
  prompt_ = prompt;
  interrupted_ = false;
  interrupts_.SetMode(Interrupts::Mode::kPrompt);
  el_resize(editor_);
  StartEditing();
  int length = 0;
  const char* line = el_gets(editor_, &length);
  Line result;
  if (interrupted_) {
    result.kind = Line::Kind::kInterrupted;
    const LineInfo* info = el_line(editor_);
    result.text.assign(info->buffer, info->lastchar);
    el_set(editor_, EL_UNBUFFERED, 0);
    el_reset(editor_);
    std::fputs("^C\n", stderr);
  } else if (line == nullptr || length <= 0) {
    result.kind = Line::Kind::kEnd;
    std::fputs("\n", stderr);
  } else {
    result.text.assign(line, static_cast<size_t>(length));
    if (result.text.ends_with('\n')) {
      result.text.pop_back();
    }
  }
  return result;
}

void Terminal::Remember(const std::string& text) {
  HistEvent event;
  history(history_, &event, H_ENTER, text.c_str());
  if (!history_file_.empty()) {
    history(history_, &event, H_SAVE, history_file_.c_str());
  }
}

}  // namespace

std::unique_ptr<LineSource> OpenTerminal(Interrupts& interrupts,
                                         const std::optional<std::filesystem::path>& history) {
  return std::make_unique<Terminal>(interrupts, history);
}

}  // namespace plimsoll::cli
