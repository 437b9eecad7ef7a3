#pragma once

struct Scale {
  float x, y;
};
