#include "broker/gate/list_filter.hpp"

#include "gate_harness.hpp"

namespace sallyport::gate {
namespace {

using protocol::ContainerStatus;

std::vector<protocol::Summary> containers() {
  std::vector<protocol::Summary> all = {test::summary("old", '1', 100, ContainerStatus::Exited),
                                        test::summary("job_1", '2', 200, ContainerStatus::Running),
                                        test::summary("job_2", '3', 300, ContainerStatus::Running),
                                        test::summary("new", '4', 400, ContainerStatus::Created)};
  all[0].exit_code = 3;
  all[1].labels.items = {{"a", "b"}, {"c", ""}};
  return all;
}

std::string names(std::string_view query_text) {
  const auto query = Query::parse(api::Verb::List, query_text);
  if (!query) return "refused";
  const auto filter = ListFilter::parse(*query);
  if (!filter) return "refused";
  std::string text;
  for (const protocol::Summary& container : filter->apply(containers()))
    text += (text.empty() ? "" : " ") + container.name.text();
  return text;
}

struct FilterCase {
  const char* query;
  const char* names;
};
TEST(ListFilter, ChoosesAsDockerdWould) {
  const FilterCase cases[] = {
      {"", "job_2 job_1"},
      {"all=1", "new job_2 job_1 old"},
      {"limit=1", "new"},
      {"limit=-1", "job_2 job_1"},
      {"all=1&since=job_1", "new job_2"},
      {"all=1&before=job_1", "old"},
      {"all=1&since=victim", ""},
      {"all=1&before=victim", ""},
      {"all=1&since="
       "1111",
       "new job_2 job_1"},
      {R"(filters={"name":{"job":true}})", "job_2 job_1"},
      {R"(filters={"name":{"job":false}})", "job_2 job_1"},
      {R"(filters={"name":["job_1"]})", "job_1"},
      {R"(filters={"name":["^job_1$"]})", "job_1"},
      {R"(filters={"name":["^/job_2$"]})", "job_2"},
      {R"(filters={"name":["^ob"]})", ""},
      {R"(filters={"name":["(a*)*$"]})", ""},
      {R"(filters={"name":["job_1","job_2"]})", "job_2 job_1"},
      {R"(filters={"id":["2222"]})", "job_1"},
      {R"(filters={"label":["a"]})", "job_1"},
      {R"(filters={"label":["a=b","c"]})", "job_1"},
      {R"(filters={"label":["a=b","d"]})", ""},
      {R"(filters={"label":["a=x"]})", ""},
      {R"(filters={"status":["exited"]})", "old"},
      {R"(filters={"status":["nonsense"]})", "refused"},
      {R"(all=1&filters={"exited":["3"]})", "old"},
      {R"(all=1&filters={"exited":["x"]})", "refused"},
      {R"(filters={"ancestor":{"busybox":true}})", "job_2 job_1"},
      {R"(filters={"ancestor":{"alpine":true}})", ""},
      {R"(filters={"network":["bridge"]})", ""},
      {R"(filters={"volume":["/"]})", ""},
      {R"(filters={"tenant":["x"]})", "refused"},
      {R"(filters={"label":["a"],"label":["c"]})", "refused"},
      {R"(filters={"name":"x"})", "refused"},
      {R"(filters=[])", "refused"},
      {R"(filters={}x)", "refused"},
      {R"(filters={})", "job_2 job_1"},
      {R"(filters=null)", "job_2 job_1"},
      {R"(filters=)", "job_2 job_1"},
  };
  for (const FilterCase& one : cases) EXPECT_EQ(names(one.query), one.names) << one.query;
}

}  // namespace
}  // namespace sallyport::gate
