#include "tools/vmkeepctl/certificate.h"

#include "tools/vmkeepctl/errors.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

namespace vmkeep::ctl {
namespace {

struct BioFree {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
struct CertificateFree {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

}  // namespace

absl::StatusOr<absl::Time> CertificateExpiry(absl::string_view pem) {
  const std::unique_ptr<BIO, BioFree> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const std::unique_ptr<X509, CertificateFree> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return error::BadCertificate();
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1)
    return error::BadCertificate();
  return absl::FromTM(end, absl::UTCTimeZone());
}

}  // namespace vmkeep::ctl
