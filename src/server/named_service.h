// A service under the name that its server knows it by: two models may say the same of themselves.
#pragma once

#include <memory>
#include <string>

#include "engine/service.h"

namespace plimsoll::server {

// As `service` in everything but summary().name. The last holder of `service` but for the result.
[[nodiscard]] std::shared_ptr<engine::Service> WithName(std::shared_ptr<engine::Service> service,
                                                        const std::string& name);

}  // namespace plimsoll::server
