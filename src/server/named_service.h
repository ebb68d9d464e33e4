// A service with what its server knows of it: its name, for two models may say the same of
// themselves, and how fast it could be.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/decode_bound.h"
#include "engine/service.h"

namespace plimsoll::server {

// As `service` in everything but summary().name and bound(). The last holder of `service` but for
// the result.
[[nodiscard]] std::shared_ptr<engine::Service> WithName(std::shared_ptr<engine::Service> service,
                                                        const std::string& name,
                                                        std::optional<engine::DecodeBound> bound);

}  // namespace plimsoll::server
