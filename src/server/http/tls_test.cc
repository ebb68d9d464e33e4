#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "server/http/http_server.h"
#include "server/http/test_client.h"

namespace plimsoll::server::http {
namespace {

using testing::HasSubstr;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// A key and a certificate that it signed itself.
void WriteCertificate(const std::string& certificate_file, const std::string& key_file) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> x509(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
  X509_set_pubkey(x509.get(), key.get());
  X509_sign(x509.get(), key.get(), EVP_sha256());
  const std::unique_ptr<std::FILE, FileCloser> to(std::fopen(certificate_file.c_str(), "w"));
  PEM_write_X509(to.get(), x509.get());
  const std::unique_ptr<std::FILE, FileCloser> key_to(std::fopen(key_file.c_str(), "w"));
  PEM_write_PrivateKey(key_to.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

class TlsServer : public testing::Test {
 protected:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("plimsoll-tls-" + std::to_string(::getpid()));
  HttpOptions options_;

  TlsServer() {
    std::filesystem::create_directory(folder_);
    options_.port = 0;
    options_.tls_certificate_file = folder_ / "cert.pem";
    options_.tls_key_file = folder_ / "key.pem";
    options_.limits.max_header_time = std::chrono::milliseconds(400);
    WriteCertificate(options_.tls_certificate_file, options_.tls_key_file);
  }
  ~TlsServer() override { std::filesystem::remove_all(folder_); }

  static Router Routes() {
    Router router;
    router.Add({.method = "GET", .path = "/hello", .handler = [](const auto& exchange) {
                  exchange->Begin({.headers = {}}, "");
                  exchange->Send(std::string(100'000, 'x'));
                  exchange->End();
                }});
    return router;
  }
};

TEST_F(TlsServer, SpeaksTls12AndNewerAndNothingOlder) {
  const auto server = HttpServer::Start(options_, Routes());
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_THAT((*server)->addresses().front(), HasSubstr("https://127.0.0.1:"));
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_set_security_level(context.get(), 0);
  for (const int version : {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION}) {
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    const TestClient client((*server)->port());
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), client.fd());
    if (version == TLS1_1_VERSION) {
      EXPECT_NE(SSL_connect(ssl.get()), 1);
      continue;
    }
    ASSERT_EQ(SSL_connect(ssl.get()), 1);
    const std::string request =
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())),
              static_cast<int>(request.size()));
    std::string seen;
    std::string buffer(16384, '\0');
    int n = 0;
    while ((n = SSL_read(ssl.get(), buffer.data(), static_cast<int>(buffer.size()))) > 0) {
      seen.append(buffer, 0, static_cast<size_t>(n));
    }
    EXPECT_EQ(SSL_get_error(ssl.get(), n), SSL_ERROR_ZERO_RETURN) << "the end is signed, too";
    EXPECT_THAT(seen, testing::StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(seen, testing::EndsWith("x\r\n0\r\n\r\n"));
    EXPECT_GT(seen.size(), 100'000U);
  }
}

TEST_F(TlsServer, EndsSilentAndPlainClients) {
  const auto server = HttpServer::Start(options_, Routes());
  ASSERT_TRUE(server);
  TestClient silent((*server)->port());
  TestClient plain((*server)->port());
  plain.Send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(plain.ReadToEnd(), testing::Not(HasSubstr("HTTP/1.1 200")));
  EXPECT_TRUE(silent.IsClosed());
  EXPECT_TRUE((*server)->Drain(std::chrono::steady_clock::now() + std::chrono::seconds(5), {}));
  const ConnectionStats stats = (*server)->stats();
  EXPECT_EQ(stats.tls_failures, 2U);
  EXPECT_EQ(stats.of(Breach::kHeaderTime), 1U);
}

TEST_F(TlsServer, FilesThatAreNoneAreNamed) {
  HttpOptions half = options_;
  half.tls_key_file.clear();
  EXPECT_EQ(HttpServer::Start(half, Routes()).error().kind, ErrorKind::kUsage);
  HttpOptions swapped = options_;
  swapped.tls_certificate_file = options_.tls_key_file;
  EXPECT_THAT(HttpServer::Start(swapped, Routes()).error().message, HasSubstr("key.pem"));
  HttpOptions other = options_;
  other.tls_key_file = folder_ / "other.pem";
  WriteCertificate(folder_ / "unused.pem", other.tls_key_file);
  const auto started = HttpServer::Start(other, Routes());
  ASSERT_FALSE(started) << "a key of another certificate";
  EXPECT_THAT(started.error().message, HasSubstr("other.pem"));
}

}  // namespace
}  // namespace plimsoll::server::http
