# frozen_string_literal: true

# The example makes its table when it starts, so that there is no step before `serval`. Several workers may do so at once.
Rails.application.config.after_initialize do
  # with_connection gives the connection back: Rails waits for it when it reloads code, and this thread lives on.
  ActiveRecord::Base.connection_pool.with_connection do |connection|
    connection.create_table(:notes, if_not_exists: true) do |t|
      t.string :text, null: false
      t.timestamps
    end
  end
end
