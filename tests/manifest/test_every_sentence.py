"""Each sentence of the specification of `dlt.yml`, with the tests that prove it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# the sentence, then its tests; indented lines are the tests
SENTENCES = """
A project is found by run_dir, DLT_PROJECT_DIR, or by walking up to dlt.yml or .dlt/.workspace.
    test_a_folder_that_is_asked_for_wins_over_the_environment
    test_the_environment_names_the_project
    test_the_project_of_a_folder_below_is_found
    test_of_nested_projects_the_nearest_is_found
    test_a_workspace_inside_of_a_project_stays_a_workspace
The keys of project are all optional and have defaults.
    test_the_defaults_lie_below_the_folder_of_the_manifest
    test_an_empty_file_is_a_manifest_with_all_defaults
with_args are arguments of the source factory; any other key is an argument or value of the source.
    test_with_args_are_the_arguments_of_the_decorator
    test_a_source_takes_its_arguments_from_its_section
The type of a destination defaults to the entry's name.
    test_the_type_of_a_destination_is_its_name_where_none_is_declared
The first destination of a dataset is the default, and it may live on those that it names.
    test_the_first_destination_of_a_dataset_is_its_default
    test_a_dataset_restricts_its_pipelines_also_where_all_must_be_declared
The contract of a dataset is a schema contract, or one word.
    test_a_manifest_with_every_section_is_valid
    test_all_mistakes_are_reported_together_in_the_order_of_the_file
A pipeline loads one source or a list, and takes any argument of dlt.pipeline().
    test_a_pipeline_may_load_several_sources
    test_every_argument_of_a_pipeline_may_be_declared
    test_a_pipeline_takes_every_argument_of_dlt_pipeline
run_config, caches and transformations have their shape.
    test_a_mistake_in_a_run_config_cache_or_transformation_is_an_error
    test_a_declared_pipeline_is_retried_as_it_says_with_its_source_made_again
A profile extends a name or a list, merged first, left to right.
    test_a_profile_is_laid_over_the_one_that_it_extends
    test_of_several_extended_profiles_the_right_one_wins
Any other top-level key is plain dlt configuration.
    test_values_of_the_manifest_are_configuration_and_secrets
    test_the_log_level_comes_from_the_manifest
A key that nobody reads is an error in closed sections; sources and destinations take any.
    test_what_the_models_reject_is_invalid
    test_what_the_models_take_is_valid
dev, tests and access always exist.
    test_implicit_profiles_need_no_declaration
    test_extending_an_implicit_profile_that_is_not_declared_is_fine
Any other profile is declared or has a TOML file.
    test_a_profile_with_only_a_toml_file_exists
    test_the_profiles_are_the_implicit_the_declared_and_those_with_files
An unknown profile is an error with the known ones and the nearest spelling.
    test_an_unknown_profile_is_an_error_with_the_nearest_spelling
    test_extending_an_unknown_profile_names_the_nearest_one
The active profile: argument, environment, pin file, default_profile, dev.
    test_what_is_asked_for_wins_over_the_environment
    test_the_environment_wins_over_the_pin
    test_the_pin_wins_over_the_default_profile
    test_the_default_profile_of_the_manifest_is_active
    test_without_any_choice_the_profile_is_dev
Mappings merge, everything else (lists too) is replaced.
    test_mappings_of_a_profile_are_merged_at_every_depth
    test_a_list_in_a_profile_replaces_the_list
    test_a_value_in_a_profile_replaces_a_mapping_and_the_other_way_round
    test_without_null_the_order_of_merging_does_not_matter
An explicit null removes the key.
    test_null_in_a_profile_removes_the_key
    test_null_in_a_profile_removes_an_entry
extends chains are resolved first; a cycle is an error that prints it.
    test_null_in_a_profile_removes_what_an_extended_profile_adds
    test_profiles_that_extend_each_other_are_an_error_that_prints_the_circle
Switching rebuilds everything; nothing of the earlier profile remains readable.
    test_switching_the_profile_rebuilds_values_and_folders
    test_nothing_of_the_earlier_profile_stays_readable
Environment variables and settings are substituted in every string value, after the merge.
    test_variables_are_filled_in_below_lists_and_mappings
    test_settings_are_filled_in_everywhere
    test_a_variable_of_a_profile_is_filled_in_after_the_merge
{name} is ours only inside project, {project.name} everywhere.
    test_settings_may_use_each_other
    test_a_setting_can_be_named_with_its_section
    test_braces_that_are_not_ours_stay_as_they_are
{env.NAME:default} gives a default.
    test_a_default_stands_in_for_a_variable_that_is_not_set
    test_a_variable_that_is_set_wins_over_its_default
Every other brace stays as it is, byte for byte.
    test_substitution_never_touches_foreign_braces
    test_substitution_changes_nothing_beside_its_variable
{{x}} gives a literal {x} only where x is one of ours.
    test_a_doubled_brace_writes_one_of_ours_literally
A whole-string {env.X} keeps dlt's own casting.
    test_variables_are_filled_in_when_a_value_is_asked_for
A missing variable is an error only when the entity that uses it is used.
    test_a_variable_that_is_not_set_matters_only_to_those_who_use_it
    test_a_variable_that_is_not_set_is_an_error_with_the_place_of_the_value
Settings that refer to each other in a circle are an error that prints the circle.
    test_settings_that_refer_to_each_other_are_an_error_that_prints_the_circle
Every error says file, line, column, path, what is wrong, what was expected, the nearest name.
    test_an_error_shows_file_line_column_and_a_caret_below_the_place
    test_a_value_of_the_wrong_shape_is_an_error
    test_any_mutation_is_valid_or_reported_with_a_position_inside_the_file
    test_errors_of_manifests_are_printed_exactly_as_shown
All errors of a file are reported together.
    test_all_mistakes_are_reported_together_in_the_order_of_the_file
    test_what_is_wrong_in_sections_and_profiles_is_reported_beside_what_yaml_hides
    test_all_settings_that_are_wrong_are_reported_together
Duplicate keys are an error.
    test_keys_that_stand_there_twice_are_reported_all_at_once
Tabs are an error.
    test_a_tab_is_an_error_that_says_what_to_use
A second document is an error.
    test_a_second_document_is_an_error
Anchors that explode are an error.
    test_anchors_that_explode_are_an_error
An unquoted {env.X} is an error.
    test_a_variable_without_quotes_is_an_error
Sections that are not mappings are an error.
    test_a_value_of_the_wrong_shape_is_an_error
An empty dlt.yml is valid.
    test_an_empty_file_is_a_manifest_with_all_defaults
YAML is loaded with a safe loader only.
    test_a_tag_makes_no_python_object
The JSON Schema is generated from the models that validate.
    test_the_example_is_valid
    test_every_documented_manifest_is_valid
    test_what_the_models_reject_is_invalid
A secret is never printed.
    test_an_error_shows_no_secret
    test_an_error_shows_no_secret_on_lines_near_its_name
    test_a_value_is_never_printed
    test_a_document_does_not_print_its_content
    test_a_project_prints_its_name_profile_and_counts_without_secrets
Environment, TOML of the profile and without, global folder, vaults, dlt.yml, default.
    test_the_environment_wins_over_toml_files
    test_toml_files_win_over_the_manifest_and_profiles_over_plain_files
    test_the_global_folder_stands_between_the_project_and_the_manifest
    test_a_provider_that_is_added_wins_over_the_manifest_and_no_more
A section named after the active pipeline is searched first.
    test_a_section_named_as_the_active_pipeline_wins_in_the_manifest
Mapping arguments of sources are merged leaf by leaf across the layers.
    test_a_section_of_secrets_adds_to_the_mapping_of_the_manifest
A declared value is not overridden by an environment variable without a section.
    test_a_declared_value_is_not_that_of_a_variable_without_a_section
The manifest's destinations answer look-ups under destination.
    test_destinations_answer_for_the_section_destination
Only the active profile's files are ever opened.
    test_only_the_files_of_the_active_profile_are_opened
The type of a source is a dotted path, or a shorthand that dlt expands.
    test_a_reference_of_two_parts_is_a_module_and_its_function_in_the_sources_folder
    test_a_module_beside_the_sources_folder_is_found
    test_a_full_dotted_path_leads_to_a_source
    test_a_source_of_dlt_itself_is_found_by_its_shorthand_and_uses_no_network
When nothing is found, the error lists what was tried.
    test_an_unknown_type_says_where_it_stands_and_what_was_tried
    test_a_source_that_is_not_found_lists_every_place_that_was_tried
A candidate that raises while it is imported shows its own error.
    test_a_module_that_raises_shows_its_own_error
    test_a_module_that_misses_a_package_shows_which
Local files land in local_dir, working folders of pipelines in data_dir.
    test_plain_dlt_code_gets_the_folders_of_the_project
Two profiles never share a file by default.
    test_the_folders_of_two_profiles_are_apart
"""


@pytest.fixture(scope="module")
def names() -> set[str]:
    """All tests of the project."""
    texts = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


def test_every_sentence_of_the_specification_has_its_tests(names: set[str]) -> None:
    lines = SENTENCES.strip().splitlines()
    without = [
        line
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if not line.startswith(" ") and not below.startswith(" ")
    ]
    gone = [line.strip() for line in lines if line.startswith(" ") and line.strip() not in names]

    assert without == []
    assert gone == []
